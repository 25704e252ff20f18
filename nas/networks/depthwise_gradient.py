"""Depthwise convolution with a fast weight gradient on CPUs.

oneDNN's depthwise kernel for weight gradients takes kernels up to three columns wide;
wider ones fall to a generic kernel that is 5 to 20 times slower (measured with torch
2.13, channels-last, AVX-512). The gradient's columns do not depend on each other, so
wide kernels are computed three columns at a time from shifted inputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_COLUMNS = 3


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Depthwise convolution with half-kernel padding; equal to ``conv2d`` in value and gradients.

    Args:
        x: ``(n, c, h, w)``.
        weight: ``(c, 1, k, k)``, k odd.
        stride: The same in both directions.
    """
    pad = weight.shape[-1] // 2
    wide = weight.shape[-1] > _COLUMNS and stride <= 2
    if wide and x.device.type == "cpu" and torch.is_grad_enabled() and weight.requires_grad:
        out: Tensor = _DepthwiseConv2d.apply(x, weight, stride)  # type: ignore[no-untyped-call]
        return out
    return functional.conv2d(x, weight, None, stride, pad, 1, weight.shape[0])


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:  # noqa: ANN401 - torch types no context
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        pad = weight.shape[-1] // 2
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _backward(gradient, x, weight, ctx.stride, (pad, pad), (True, False, False))[0]
        return grad_x, weight_gradient(x, gradient, weight.shape[-1], ctx.stride), None


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, ...]:
    results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (stride, stride), padding, (1, 1), False, (0, 0), weight.shape[0], wanted
    )
    return results


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, stride: int) -> Tensor:
    """Gradient of the weight, shape ``(c, 1, kernel, kernel)``.

    Args:
        x: The input, ``(n, c, h, w)``.
        gradient: The output's gradient, ``(n, c, ceil(h / stride), ceil(w / stride))``.
        kernel: Odd, above three.
        stride: The same in both directions.
    """
    # What the convolution sees, outer zeros included: the fast kernel refuses much padding.
    height = (gradient.shape[2] - 1) * stride + kernel
    width = (gradient.shape[3] - 1) * stride + kernel
    padded = _padded_rows(x, kernel, height, width)
    seen_columns = (width - _COLUMNS) // stride + 1
    gradient = functional.pad(gradient, (0, seen_columns - gradient.shape[3]))
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    count, channels = x.shape[:2]
    result = x.new_empty(channels, 1, kernel, kernel)
    narrow = x.new_empty(channels, 1, kernel, _COLUMNS)
    for first in range(0, kernel, _COLUMNS):
        # The same memory seen `first` columns later: no copy. What wraps around from the
        # next row meets the zeros that the gradient was padded with.
        seen = padded.as_strided(
            (count, channels, height, width),
            (height * width * channels, 1, width * channels, channels),
            first * channels,
        )
        part = _backward(gradient, seen, narrow, stride, (0, 0), (False, True, False))[1]
        result[..., first : first + _COLUMNS] = part[..., : kernel - first]
    return result


def _padded_rows(x: Tensor, kernel: int, height: int, width: int) -> Tensor:
    """Images padded to ``height`` by ``width``, channels last, flat, and ``kernel`` zero pixels behind them."""
    count, channels, rows, columns = x.shape
    pad = kernel // 2
    flat = x.new_empty((count * height * width + kernel) * channels)
    flat[-kernel * channels :].zero_()
    images = flat[: -kernel * channels].view(count, height, width, channels)
    images[:, :pad].zero_()
    images[:, pad + rows :].zero_()
    images[:, pad : pad + rows, :pad].zero_()
    images[:, pad : pad + rows, pad + columns :].zero_()
    images[:, pad : pad + rows, pad : pad + columns] = x.permute(0, 2, 3, 1)
    return flat
