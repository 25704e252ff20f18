"""Quantization-aware training: a float network is trained further with the rounding of its integer graph."""

import tempfile
from pathlib import Path
from typing import Final

import onnx
import torch
from torch import Tensor, nn

from nas.data.normalization import FloatImages
from nas.networks.network import UnitNetwork
from nas.networks.weight_files import save_network
from nas.quantization.fake_quantization import fake_quantized, rounded_weights
from nas.quantization.integer_tensors import IntegerTensors
from nas.quantization.onnx_export import capture, export_onnx
from nas.quantization.static_quantization import QuantizableGraph
from nas.quantization.trained_quantization import SCALES_FILE, TrainedQuantization

QUANTIZATION_AWARE_VERSION: Final = 1
"""Raised when a change of ours changes what is trained."""
CALIBRATION_IMAGES: Final = 128
"""Training images that activation ranges are taken from."""
_CHECKED_IMAGES: Final = 64
"""Of them, those whose outputs the integer graph must have."""


class QuantizationAwareNetwork:
    """A finished float network under a policy: calibrated, then trained with the integer graph's rounding.

    The scales stay those of the calibration; weights and biases learn. Batch norm is folded before. The float
    network itself teaches.
    """

    def __init__(self, network: UnitNetwork, calibration: FloatImages, device: torch.device) -> None:
        """Calibrates a network, on the processor.

        Args:
            network: its genotype's policy says which units are rounded.
            calibration: normalized training images ``(n, c, h, w)``.
            device: where it is trained.

        Raises:
            ExportError: if the policy quantizes nothing of the network, or it cannot be exported.
        """
        self._network = network.deploy()
        self._calibration = calibration
        policy = self._network.precisions
        program = capture(self._network, torch.from_numpy(calibration[:1]))
        with tempfile.TemporaryDirectory() as folder:
            float_path, integer_path = Path(folder) / "float.onnx", Path(folder) / "integer.onnx"
            export_onnx(program, self._network.units, float_path, task=self._network.space.task)
            graph = QuantizableGraph.calibrated(float_path, calibration)
            graph.write(policy, integer_path)
            tensors = IntegerTensors.of(onnx.load(integer_path), policy)
        self._ranges = graph.ranges.values
        self.module: nn.Module = fake_quantized(program, tensors).to(device)
        self._network = self._network.to(device)

    def targets(self, images: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002 - the labels are not used
        """The float network's probabilities ``(n, classes)`` for images ``(n, c, h, w)``, in place of ``targets``."""
        with torch.no_grad():
            probabilities: Tensor = self._network(images).softmax(1)
        return probabilities

    def save(self, trained: nn.Module, path: Path) -> None:
        """Writes the network with the weights of :attr:`module`, or of a copy of it, and its scales beside.

        Raises:
            DiskFullError: if the disk has no space.
        """
        weights = rounded_weights(trained.cpu())
        with torch.no_grad():
            outputs = trained.eval()(torch.from_numpy(self._calibration[:_CHECKED_IMAGES])).numpy()
            state = trained.state_dict()
            state |= {name: rounding.clipped(state[name]) for name, rounding in weights.items()}
        quantization = TrainedQuantization(
            ranges=self._ranges,
            weight_scales={name: rounding.scale.numpy() for name, rounding in weights.items()},
            outputs=outputs,
        )
        quantization.save(path.with_name(SCALES_FILE))
        network = self._network.cpu()
        network.load_state_dict(state)
        save_network(network, path)
