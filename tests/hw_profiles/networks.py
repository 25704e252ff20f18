"""A small network with every operator that the search spaces use, exported for the tests."""

from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn
from torch.nn import functional

from hw_profiles.network_files import NetworkFiles


class TinyNetwork(nn.Module):
    def __init__(self, width: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.stem = nn.Conv2d(1, width, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(width, 3 * width, 1)
        self.depthwise = nn.Conv2d(3 * width, 3 * width, 5, padding=2, groups=3 * width)
        self.squeeze = nn.Conv2d(3 * width, 8, 1)
        self.excite = nn.Conv2d(8, 3 * width, 1)
        self.project = nn.Conv2d(3 * width, width, 1)
        self.classify = nn.Linear(width, 10)

    def forward(self, image):
        side = self.resolution
        image = functional.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)
        stem = functional.hardswish(self.stem(image))
        inner = functional.relu(self.depthwise(functional.hardswish(self.expand(stem))))
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(inner, 1)))
        inner = inner * functional.hardsigmoid(self.excite(gate))
        return self.classify((stem + self.project(inner)).mean((2, 3)))


class _Images(CalibrationDataReader):
    def __init__(self, name: str, images: np.ndarray) -> None:
        self._rows = iter([{name: images[index : index + 1]} for index in range(len(images))])

    def get_next(self):
        return next(self._rows, None)


def export(folder: Path, name: str, *, width: int, resolution: int = 16) -> NetworkFiles:
    """Writes the network's ONNX file and reference."""
    torch.manual_seed(0)
    network = TinyNetwork(width, resolution).eval()
    images = torch.randn(4, 1, 20, 20)
    torch.onnx.export(network, (images[:1],), folder / f"{name}.onnx", dynamo=True, external_data=False, verbose=False)
    with torch.no_grad():
        outputs = torch.cat([network(images[index : index + 1]) for index in range(len(images))])
    np.savez(folder / f"{name}.npz", input=images.numpy(), output=outputs.numpy())
    return NetworkFiles(
        name=name,
        onnx=folder / f"{name}.onnx",
        reference=folder / f"{name}.npz",
    )


def quantize(files: NetworkFiles, folder: Path) -> NetworkFiles:
    """Writes the network's QDQ form."""
    name = f"{files.name}_int8"
    prepared, quantized = folder / f"{name}.prepared.onnx", folder / f"{name}.onnx"
    quant_pre_process(files.onnx, prepared, skip_symbolic_shape=True)
    with np.load(files.reference) as arrays:
        images = arrays["input"]
    quantize_static(
        prepared,
        quantized,
        _Images("image", images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    return NetworkFiles(name=name, onnx=quantized, quantized=True, reference=files.reference)
