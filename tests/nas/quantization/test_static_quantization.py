import numpy as np
import onnx
import pytest

from hw_profiles.onnx_graph import load_onnx
from hw_profiles.quantized_units import unit_of
from nas.quantization.onnx_export import ExportError
from nas.quantization.static_quantization import quantize_onnx


def int8_weight_units(path):
    """Units whose convolutions read dequantized int8 weights."""
    model = onnx.load(path)
    int8 = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8}
    dequantized = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in int8}
    return {unit_of(n.name) for n in model.graph.node if n.op_type in ("Conv", "Gemm") and n.input[1] in dequantized}


@pytest.mark.parametrize("chosen", [("stage1.block2",), ("stem", "stage3.block1", "head")])
def test_exactly_the_policys_units_hold_integer_weights(network, images, float_onnx, tmp_path, chosen):
    policy = {unit: "int8" if unit in chosen else "fp32" for unit in network.units}
    quantize_onnx(float_onnx, policy, images, tmp_path / "q.onnx")
    assert int8_weight_units(tmp_path / "q.onnx") == set(chosen)


def test_the_integer_graph_stays_close_and_shrinks(network, images, float_onnx, tmp_path):
    path = tmp_path / "q.onnx"
    quantize_onnx(float_onnx, dict.fromkeys(network.units, "int8"), images, path)
    outputs = [np.concatenate([load_onnx(p).run(image[None]) for image in images]) for p in (float_onnx, path)]
    scale = np.abs(outputs[0]).max()
    assert np.abs(outputs[0] - outputs[1]).max() < 0.25 * scale
    assert path.stat().st_size < 0.5 * float_onnx.stat().st_size


def test_a_policy_that_quantizes_nothing_is_refused(network, images, float_onnx, tmp_path):
    with pytest.raises(ExportError, match="quantizes no operator"):
        quantize_onnx(float_onnx, dict.fromkeys(network.units, "fp32"), images, tmp_path / "q.onnx")
