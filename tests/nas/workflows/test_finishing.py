"""Finalists are fine-tuned before they are verified: what ships, is measured and is shown is the finished network."""

from dataclasses import replace

import numpy as np
import pytest

from nas.home import Home
from nas.measuring.context import SearchContext
from nas.networks.weight_files import load_network
from nas.progress import SilentProgress
from nas.quantization.trained_quantization import SCALES_FILE, TrainedQuantization
from nas.store import open_store
from nas.training import network_training
from nas.training.finish_settings import FinishSettings
from nas.workflows import finishing
from nas.workflows.evaluating import preparation_pool
from nas.workflows.finishing import finish_pilots, finished_pool
from nas.workflows.verification import verify
from nas.workspace import Workspace
from search_spaces.errors import UsageError
from tests.nas.workflows.conftest import SEARCH


@pytest.fixture
def context(supernet, shared_home):
    assert supernet["supernet"]
    home = Home(shared_home)
    with open_store(home.database_url) as store:
        workspace = Workspace(home, store)
        stored = workspace.supernet()
        with preparation_pool(workspace, stored) as pool:
            yield SearchContext(
                workspace=workspace,
                supernet=stored,
                profile=workspace.profile("local-cpu/onnxruntime"),
                pool=pool,
                progress=SilentProgress(),
            )


@pytest.mark.parametrize("quantized_share", [0.0, 1.0])
def test_candidates_of_one_architecture_share_a_finished_network(context, quantized_share):
    space = context.space
    largest = space.largest()
    both = np.stack([largest, space.with_policy(largest, "int8")])
    with finished_pool(context, both, FinishSettings(epochs=0.5, quantized_share=quantized_share)) as pool:
        assert len(pool.source.files) == 1
        assert len(pool.source.quantized) == bool(quantized_share)
        fp32, int8 = pool.prepare(list(both))
    assert (fp32.quantized, int8.quantized) == (False, True)
    first, second = load_network(space, fp32.weights), load_network(space, int8.weights)
    if quantized_share:  # trained on with rounded values: without batch norm, and other weights
        assert second.folded
        folded = first.fold_batch_norm().state_dict()
        assert any(not np.array_equal(a, second.state_dict()[name]) for name, a in folded.items())
    else:
        assert all(np.array_equal(a, second.state_dict()[name]) for name, a in first.state_dict().items())
    (inherited,) = context.pool.prepare([largest])
    before = load_network(space, inherited.weights)
    assert any(not np.array_equal(a, before.state_dict()[name]) for name, a in first.state_dict().items())
    assert inherited.folder != fp32.folder


@pytest.mark.slow
def test_the_finished_largest_network_is_verified_beside_its_inherited_twin(context):
    """The anchor is the largest network with inherited weights: the same candidate, compiled in the same folder."""
    context = replace(context, profile=context.workspace.profile("local-cpu/tvm"))
    largest = context.space.largest()
    with finished_pool(context, largest[None], FinishSettings(epochs=0.5)) as pool:
        (one,) = verify(context, [largest], finished=pool).values()
    (inherited,) = verify(context, [largest]).values()
    shipped = {name: one.files[name].sha256 for name in ("onnx", "tvm")}
    assert all(sha256 != inherited.files[name].sha256 for name, sha256 in shipped.items())


def test_another_recipe_is_kept_apart(context):
    rows = context.space.smallest()[None]
    with finished_pool(context, rows, FinishSettings(epochs=0.5)) as pool:
        key = pool.source.key
    with finished_pool(context, rows, FinishSettings(epochs=0.5, teacher_share=0.0)) as pool:
        assert pool.source.key != key
        assert pool.source.supernet_id == context.supernet.id


def test_a_graph_that_is_not_what_was_trained_is_a_failure(context):
    """Here the scales of a trained network are replaced by others before it is exported."""
    rows = context.space.with_policy(context.space.smallest(), "int8")[None]
    with finished_pool(context, rows, FinishSettings(epochs=0.5, quantized_share=0.5)) as pool:
        (trained,) = pool.source.quantized.values()
        scales = TrainedQuantization.load(trained.with_name(SCALES_FILE))
        halved = {name: (low / 2, high / 2) for name, (low, high) in scales.ranges.items()}
        replace(scales, ranges=halved).save(trained.with_name(SCALES_FILE))
        (failure,) = pool.prepare(list(rows))
        assert "not the network that was trained" in failure.message
        scales.save(trained.with_name(SCALES_FILE))
        (prepared,) = pool.prepare(list(rows))
    assert prepared.quantized


def test_a_network_that_was_not_finished_is_a_failure(context):
    with finished_pool(context, context.space.smallest()[None], FinishSettings(epochs=0.5)) as pool:
        (failure,) = pool.prepare(list(context.space.sample(1, np.random.default_rng(5))))
    assert failure.message == "the network was not finished."


def test_pilots_are_finished_once_for_all_searches(context, monkeypatch):
    settings = FinishSettings(epochs=0.5)
    found = finish_pilots(context, settings)
    assert len(found.pilots) >= 4
    assert (found.slopes >= 0).all()
    monkeypatch.setattr(network_training, "_run_group", lambda *_: pytest.fail("trained again"))
    again = finish_pilots(context, settings)
    rows, inherited = context.space.largest()[None], np.array([0.5])
    assert again.of(rows, inherited) == found.of(rows, inherited)
    monkeypatch.setattr(finishing, "LEAST_SHARE", 0.6)
    assert finish_pilots(context, settings) is None, "a short finishing changes too little"


@pytest.mark.slow
def test_a_front_shows_inherited_and_finished_accuracy(hwnas, supernet):
    assert supernet["supernet"]
    front = hwnas.json(*SEARCH, "--evaluations", 8, "--finish-epochs", 2, "--random-baseline")
    everyone = [*front["members"], front["baselines"]["largest_fp32"], *front["baselines"]["random"]]
    assert all(0 <= member["accuracy_inherited_val"] <= 1 for member in everyone)
    finished, inherited = ([member[name] for member in everyone] for name in ("accuracy_val", "accuracy_inherited_val"))
    assert finished != inherited


@pytest.mark.slow
def test_a_limit_on_accuracy_is_for_finished_networks(hwnas, supernet):
    """With inherited weights, of an epoch of eight steps, no network comes near the limit."""
    assert supernet["supernet"]
    limited = (*SEARCH, "--evaluations", 8, "--seed", 3, "--min-accuracy", 0.25)
    code, _, error = hwnas(*limited)
    assert (code, "measured networks keeps all limits" in error) == (1, True), error
    front = hwnas.json(*limited, "--finish-epochs", 10)
    assert all(member["accuracy"]["expected"] > 0.25 for member in front["members"])
    # Without its margin, an inherited reading may reach the limit: that depends on the processor.
    assert all(member["accuracy_inherited_val"] < member["accuracy_val"] for member in front["members"])


def test_epochs_that_cannot_be_are_refused(hwnas, supernet):
    assert supernet["supernet"]
    assert "finishing setting epochs" in hwnas.refused(*SEARCH, "--finish-epochs", 1e9)
    with pytest.raises(UsageError, match="learning_rate_share"):
        replace(FinishSettings(), learning_rate_share=0.0)
