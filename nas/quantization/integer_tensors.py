"""Which tensors of an integer graph hold integers, and at which scales: read from the graph itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from hw_profiles.quantized_units import unit_of
from search_spaces.precision import SPECS, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationScale:
    """An activation ``x`` is the integer ``round(x / scale) + zero_point``, clipped to 0 to 255."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightScale:
    """A weight ``w`` is the integer ``round(w / scale)``, clipped to ``-largest`` to ``largest``."""

    scale: NDArray[np.float32]
    """Shape ``(channels,)``, or ``()`` for the whole tensor."""
    axis: int | None
    """Of the channels; None for the whole tensor."""
    largest: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerTensors:
    """The activations and weights that a QDQ graph quantizes, by the names that they have in the float graph."""

    activations: Mapping[str, ActivationScale]
    weights: Mapping[str, WeightScale]
    inputs: tuple[str, ...]
    """Of the graph, in order."""
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, model: onnx.ModelProto, policy: Mapping[str, Precision]) -> "IntegerTensors":
        """Those of a graph by :class:`nas.quantization.static_quantization.QuantizableGraph`.

        Args:
            model: the QDQ graph.
            policy: precision by unit, with which it was written.
        """
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        readers = {name: node.name for node in model.graph.node for name in node.input}
        activations: dict[str, ActivationScale] = {}
        weights: dict[str, WeightScale] = {}
        for node in model.graph.node:
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                continue
            name = node.input[1].removesuffix("_scale")
            scale = onnx.numpy_helper.to_array(constants[node.input[1]])
            if node.op_type == "QuantizeLinear":
                zero_point = onnx.numpy_helper.to_array(constants[node.input[2]])
                activations[name] = ActivationScale(scale=scale.item(), zero_point=zero_point.item())
            elif node.input[0] in constants and constants[node.input[0]].data_type != onnx.TensorProto.INT32:
                spec = SPECS[policy[unit_of(readers[node.output[0]])]]
                axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
                weights[name] = WeightScale(scale=scale, axis=axis if scale.ndim else None, largest=spec.largest_weight)
        return cls(
            activations=activations,
            weights=weights,
            inputs=tuple(value.name for value in model.graph.input),
            outputs=tuple(value.name for value in model.graph.output),
        )
