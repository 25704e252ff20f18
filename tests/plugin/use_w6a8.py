"""Everything that follows from a registered precision, checked in a process that has it installed.

Called with a folder to write graphs to; run by ``tests/search_spaces/test_precision.py``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from hw_profiles.detect import resolve_profile
from hw_profiles.onnx_graph import load_onnx
from hw_profiles.sizes import predicted_weight_bytes
from nas.networks.building import build_network
from nas.quantization.onnx_export import capture, export_onnx
from nas.quantization.static_quantization import quantize_onnx
from nas.search.restriction import Restriction, native_restriction
from predictors.features import FeatureExtractor
from search_spaces.facts import FACTS, CostFacts, weight_counts
from search_spaces.registry import get_space, space_names

SPACE = get_space("mobilenet_v3:tiny")
BITS = {"fp32": 32, "int8": 8, "w4a8": 4, "w6a8": 6}


def in_every_space() -> None:
    for name in space_names():
        space = get_space(name)
        rows = space.sample_spread(8, np.random.default_rng(0))
        if not len(space.policy_columns):
            continue
        assert space.precisions == ("fp32", "int8", "w4a8", "w6a8"), name
        uniform = {precision: space.with_policy(rows, precision) for precision in space.precisions}
        weights, biases = {}, {}
        for precision, population in uniform.items():
            counted = weight_counts(space, population)
            assert not any(counted[other].any() for other in counted if other != precision), name
            weights[precision] = counted[precision]
            facts = CostFacts(space)
            packed = counted[precision] * BITS[precision] / 8
            biases[precision] = facts.column("weight_bytes", population) - packed
            # Transformer blocks have linear layers in place of pointwise convolutions.
            mixing = [facts.column(f"macs:{kind}_{precision}", population) for kind in ("pointwise", "linear")]
            assert np.sum(mixing) > 0, name
        for precision in space.precisions:
            np.testing.assert_array_equal(weights[precision], weights["fp32"])
            # An odd number of 4-bit weights is rounded up to a byte.
            assert (np.abs(biases[precision] - biases["fp32"]) <= len(space.units) * 20).all(), name
        assert any("w6a8" in space.describe_precision(row) for row in rows), name


def facts_and_features() -> None:
    assert "macs:pointwise_w6a8" in FACTS
    rows = np.unique(SPACE.sample(120, np.random.default_rng(1)), axis=0)
    features = FeatureExtractor(SPACE).encode_parts(rows)
    assert features.policy.shape[1] == 3 * len(SPACE.policy_columns)
    # What each precision takes from accuracy is linear in these columns.
    shares = np.stack([(rows[:, SPACE.policy_columns] == choice).mean(axis=1) for choice in (1, 2, 3)], axis=1)
    lost = shares @ np.array([0.01, 0.05, 0.02])
    fitted, *_ = np.linalg.lstsq(features.policy[:60], lost[:60], rcond=None)
    np.testing.assert_allclose(features.policy[60:] @ fitted, lost[60:], atol=1e-9)


def sizes_and_profiles() -> None:
    plain = resolve_profile("local-cpu/onnxruntime")
    assert plain.executes("w6a8") == "native"  # 6-bit integers are 8-bit ones to its kernels
    assert plain.weight_bits == {"fp32": 32, "int8": 8, "w4a8": 4, "w6a8": 8}
    row = SPACE.with_policy(SPACE.largest(), "w6a8")[None]
    in_bytes = SPACE.with_policy(SPACE.largest(), "int8")[None]
    assert predicted_weight_bytes(SPACE, row, plain) == predicted_weight_bytes(SPACE, in_bytes, plain)
    unable = replace(plain, precisions={"fp32": "native", "int8": "native"}, weight_bits={})
    assert predicted_weight_bytes(SPACE, row, unable) == 4 * CostFacts(SPACE).column("parameters", row)
    assert native_restriction(SPACE, unable).precisions == ("fp32", "int8")
    assert native_restriction(SPACE, plain).precisions == ("fp32", "int8", "w6a8")
    drawn = SPACE.sample_spread(50, np.random.default_rng(2))
    kept = Restriction(precisions=("fp32", "int8")).project(SPACE, drawn)
    assert (kept[:, SPACE.policy_columns] <= 1).all()
    assert SPACE.from_strings(SPACE.to_strings(drawn)).tolist() == drawn.tolist()


def exports(folder: Path) -> None:
    torch.manual_seed(0)
    network = build_network(SPACE, SPACE.largest()).deploy()
    images = np.random.default_rng(0).standard_normal((8, *SPACE.task.input.shape)).astype(np.float32)
    export_onnx(capture(network, torch.from_numpy(images[:1])), network.units, folder / "float.onnx", task=SPACE.task)
    policy = {unit: ("fp32", "int8", "w6a8")[number % 3] for number, unit in enumerate(network.units)}
    quantize_onnx(folder / "float.onnx", policy, images, folder / "mixed.onnx")
    graph = onnx.load(folder / "mixed.onnx").graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    seen = {}
    dequantized = {
        node.output[0]: stored.get(node.input[0]) for node in graph.node if node.op_type == "DequantizeLinear"
    }
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in dequantized:
            unit = node.name.partition("/")[0]
            seen.setdefault(policy[unit], []).append(np.abs(dequantized[node.input[1]]).max())
    assert set(seen["w6a8"]) == {31}
    assert set(seen["int8"]) == {127}
    assert "fp32" not in seen
    outputs = {}
    for precision in ("int8", "w6a8"):
        path = folder / f"{precision}.onnx"
        quantize_onnx(folder / "float.onnx", dict.fromkeys(network.units, precision), images, path)
        outputs[precision] = np.concatenate([load_onnx(path).run(image[None]) for image in images])
    with torch.no_grad():
        truth = network(torch.from_numpy(images)).numpy()
    errors = {name: np.abs(found - truth).mean() for name, found in outputs.items()}
    assert errors["int8"] < errors["w6a8"] < np.abs(truth).mean()


if __name__ == "__main__":
    in_every_space()
    facts_and_features()
    sizes_and_profiles()
    exports(Path(sys.argv[1]))
    sys.stdout.write("followed\n")
