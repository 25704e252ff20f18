"""What every family must do: the contract of :class:`nas.families.family.Family`."""

import copy
import functools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.families.registry import build_supernet, family_of
from nas.networks.building import build_network
from nas.networks.network import parameter_count
from nas.networks.weight_files import load_network, save_network
from nas.quantization.onnx_export import capture, export_onnx
from nas.training.sandwich import StepLoss, sandwich_gradients, step_subnets
from nas.training.settings import TrainingSettings
from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec, TensorSpec
from tests.nas.families.cases import CASES, ONE_PER_FAMILY, bound, label
from tests.nas.networks.executed_layers import executed, stated

pytestmark = pytest.mark.usefixtures("toy_family")

every_case = pytest.mark.parametrize("case", CASES, ids=label)
every_family = pytest.mark.parametrize("case", ONE_PER_FAMILY, ids=label)


@functools.lru_cache(maxsize=2)
def trained(case):
    """A supernet none of whose tensors is at its initial value, in evaluation mode."""
    supernet = build_supernet(bound(case), seed=1)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            if parameter.ndim == 1 or "transforms" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
        for name, buffer in supernet.named_buffers():
            noise = torch.rand(buffer.shape, generator=draw)
            buffer.copy_(noise + 0.5 if name.endswith("var") else noise - 0.5)
    return supernet.eval()


@functools.lru_cache(maxsize=2)
def trained_in_double_precision(case):
    """The same weights: sums in another order, which kernels differ in, then change nothing that a test sees."""
    # The space is immutable and large: shared, not copied.
    return copy.deepcopy(trained(case), {id(bound(case)): bound(case)}).double()


def images_of(space, count=2):
    return torch.randn(count, *space.task.input.shape, generator=torch.Generator().manual_seed(3))


def some_genotypes(space, count):
    return [space.smallest(), space.largest(), *space.sample(count, np.random.default_rng(0))]


# --- the space --------------------------------------------------------------------


@every_case
def test_names_lead_to_the_family_and_its_task(case):
    space = bound(case)
    family = family_of(space)
    assert space.name in family.spaces
    assert family.spaces[space.name](None).task == get_space(space.name).task
    assert len(space.units) == len(set(space.units))
    assert {f"{unit}.precision" for unit in space.units} >= {g.name for g in space.genes if g.part == "policy"}


@every_family
def test_images_of_a_pixel_are_refused_or_taken(case):
    try:
        space = get_space(case[0], TaskSpec.image_classification(channels=1, height=1, width=1, classes=2))
    except UnsupportedTaskError:
        return
    build_network(space, space.largest())


@every_case
def test_text_is_refused_by_families_of_images(case):
    text = TaskSpec(
        inputs=(TensorSpec(name="tokens", shape=(128,), dtype="int64"),),
        outputs=(TensorSpec(name="logits", shape=(2,)),),
    )
    with pytest.raises(UnsupportedTaskError, match=rf"^{case[0]} takes images, .* is tokens \(int64 128\); choose"):
        get_space(case[0], text)


@every_case
def test_strings_values_and_inactive_genes(case):
    space = bound(case)
    raw = np.random.default_rng(0).integers(0, space.cardinalities, size=(20, len(space.genes)))
    for row, genotype in zip(raw, space.canonicalize(raw), strict=True):
        assert (space.from_string(space.to_string(row)) == genotype).all()
        assert (space.genotype(space.values(genotype)) == genotype).all()
        other = np.where(space.active(row[None])[0], row, (row + 1) % space.cardinalities)
        assert space.operators(genotype) == space.operators(space.canonical_row(other))


@every_case
def test_operators_are_what_the_network_runs(case):
    space = bound(case)
    facts = CostFacts(space)
    for genotype in some_genotypes(space, 3):
        network = build_network(space, genotype).deploy()
        layers = executed(network)
        assert layers == stated(space.operators(genotype))
        assert sum(layer[-2] for layer in layers) == facts.column("macs", genotype[None])[0]
        assert parameter_count(network) == facts.column("parameters", genotype[None])[0]
        keys = space.unit_keys(genotype[None])[0].tolist()
        assert list(network.units) == [unit for unit, key in zip(space.units, keys, strict=True) if key >= 0]


@every_family
def test_operators_are_nodes_of_the_graph(case, tmp_path):
    space = bound(case)
    for number, genotype in enumerate(some_genotypes(space, 1)):
        network = build_network(space, genotype).deploy()
        path = tmp_path / f"{number}.onnx"
        export_onnx(capture(network, torch.zeros(1, *space.task.input.shape)), network.units, path, task=space.task)
        graph = onnx.load(path).graph
        nodes = Counter(node.op_type for node in graph.node)
        operators = space.operators(space.unquantized(genotype[None])[0])
        light = Counter((op.kind, (op.out_height, op.out_width) == (1, 1)) for op in operators if not op.has_weights)
        assert nodes["Conv"] + nodes["Gemm"] == sum(op.has_weights for op in operators)
        assert nodes["Add"] == sum(op.residual for op in operators)
        assert nodes["ReduceMean"] == light["pool", True]
        assert nodes["AveragePool"] + nodes["MaxPool"] == light["pool", False]
        assert nodes["Resize"] == light["resize", False]
        assert nodes["MatMul"] == sum(op.kind == "matmul" for op in operators)
        assert nodes["Gelu"] == sum(op.activation == "gelu" for op in operators)
        for node, kind in (("Softmax", "softmax"), ("LayerNormalization", "layer_norm"), ("Transpose", "transpose")):
            assert nodes[node] == sum(op.kind == kind for op in operators)
        assert {node.name.partition("/")[0] for node in graph.node} <= {"network", *network.units}


# --- the supernet ------------------------------------------------------------------


@every_family
def test_weights_depend_on_the_seed_alone(case):
    space = bound(case)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = build_supernet(space, seed=4).state_dict()
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(6)
    again, other = (build_supernet(space, seed=seed).state_dict() for seed in (4, 5))
    assert all(first[name].equal(again[name]) for name in first)
    assert any(not first[name].equal(other[name]) for name in first)


@every_family
def test_it_starts_as_the_largest_and_use_restores_what_was_in_use(case):
    space, supernet = bound(case), trained(case)
    images = images_of(space)
    with torch.no_grad():
        largest = supernet(images)
        assert supernet.forward_as(space.largest(), images).equal(largest)
        with supernet.use(space.smallest()):
            small = supernet(images)
            with pytest.raises(ZeroDivisionError), supernet.use(space.sample(1, np.random.default_rng(1))[0]):
                raise ZeroDivisionError
            assert supernet(images).equal(small)
        assert supernet(images).equal(largest)
    with pytest.raises(InvalidGenotypeError), supernet.use(space.largest() + 99):
        raise AssertionError


@every_family
def test_the_policy_changes_nothing_before_quantization(case):
    space, supernet = bound(case), trained(case)
    genotype = space.largest()
    with torch.no_grad():
        logits = [supernet.forward_as(space.with_policy(genotype, p), images_of(space)) for p in ("fp32", "int8")]
    assert logits[0].equal(logits[1])


@every_family
def test_threads_run_several_sub_networks_at_once(case):
    space, supernet = bound(case), trained(case)
    genotypes, images = some_genotypes(space, 4), images_of(space)
    together = threading.Barrier(3)

    def logits(genotype, wait=False):
        if wait:
            together.wait(timeout=60)
        with torch.no_grad():
            return supernet.forward_as(genotype, images)

    expected = [logits(genotype) for genotype in genotypes]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda genotype: logits(genotype, wait=True), genotypes))
    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))


@every_family
def test_steps_train_every_weight_without_a_trace_of_the_threads(case):
    space = bound(case)
    settings_ = TrainingSettings(random_subnets=3, seed=2)
    students = step_subnets(space, settings_, 0, 1)
    assert all((space.canonical_row(genotype) == genotype).all() for genotype in students)
    again = step_subnets(space, settings_, 0, 1)
    assert all((a == b).all() for a, b in zip(students, again, strict=True))
    images, labels = images_of(space, 4), torch.arange(4) % space.task.classes
    gradients = []
    for workers in (1, 3):
        supernet = build_supernet(space, seed=1)
        with ThreadPoolExecutor(workers) as threads:
            loss = sandwich_gradients(supernet, images, labels, students, StepLoss(dropout=0.1), threads)
        assert np.isfinite(loss)
        gradients.append([parameter.grad for parameter in supernet.parameters()])
    assert all((a is None) == (b is None) and (a is None or a.equal(b)) for a, b in zip(*gradients, strict=True))
    reached = {name for name, parameter in supernet.named_parameters() if parameter.grad is not None}
    for genotype in space.sample(40, np.random.default_rng(0)):
        missing = [name for name, _ in supernet.named_parameters() if name not in reached]
        if not missing:
            break
        sandwich_gradients(supernet, images, labels, [genotype], StepLoss())
        reached |= {name for name, parameter in supernet.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in supernet.named_parameters()}


# --- networks cut out of it --------------------------------------------------------


@torch.no_grad()
def check_extraction(case, genotype):
    space = bound(case)
    images = images_of(space)
    expected = trained_in_double_precision(case).forward_as(space.canonical_row(genotype), images.double())
    network = trained(case).extract(genotype)
    scale = max(1.0, float(expected.abs().max()))
    assert expected.shape == (2, space.task.classes)
    exact = copy.deepcopy(network, {id(network.space): network.space}).double()
    assert float((exact(images.double()) - expected).abs().max()) <= 1e-5 * scale
    assert float((network.deploy()(images) - expected).abs().max()) <= 1e-4 * scale
    return network


@settings(max_examples=10, deadline=None)
@given(data=st.data())
@every_case
def test_extracted_networks_equal_the_supernet(case, data):
    space = bound(case)
    genotype = np.array([data.draw(st.integers(0, int(top) - 1)) for top in space.cardinalities])
    check_extraction(case, genotype)


@every_case
def test_the_ends_equal_the_supernet_too(case):
    space = bound(case)
    for genotype in (space.smallest(), space.largest()):
        network = check_extraction(case, genotype)
        assert not network.training
        assert (network.genotype == genotype).all()


@every_family
def test_an_extracted_network_shares_no_memory(case):
    space, supernet = bound(case), trained(case)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():
        for parameter in supernet.extract(space.largest()).parameters():
            parameter.add_(1)
    assert all(before[name].equal(value) for name, value in supernet.state_dict().items())


@every_family
def test_a_network_is_that_of_the_genotype_and_of_the_global_generator(case):
    space, supernet = bound(case), trained(case)
    genotype = space.sample(1, np.random.default_rng(5))[0]
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_network(space, genotype).state_dict())
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    shapes = {name: value.shape for name, value in supernet.extract(genotype).state_dict().items()}
    assert shapes == {name: value.shape for name, value in states[0].items()}
    with pytest.raises(InvalidGenotypeError):
        build_network(space, space.largest() + 99)


@every_family
@pytest.mark.parametrize("folded", [False, True])
def test_a_saved_network_is_rebuilt_without_a_supernet(case, folded, tmp_path):
    space, supernet = bound(case), trained(case)
    genotype = space.with_policy(space.sample(1, np.random.default_rng(0)), "int8")[0]
    network = supernet.extract(genotype)
    network = network.deploy() if folded else network
    save_network(network, tmp_path / "network.safetensors")
    loaded = load_network(space, tmp_path / "network.safetensors")
    assert loaded.folded == folded
    assert (loaded.genotype == genotype).all()
    assert set(loaded.precisions.values()) == {"int8"}
    with torch.no_grad():
        assert loaded(images_of(space)).equal(network(images_of(space)))
