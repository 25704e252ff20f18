"""Copies the part of a supernet that a static network uses."""

import torch
from torch import Tensor, nn

from nas.supernet.elastic_attention import ElasticHeads
from nas.supernet.elastic_batch_norm import ElasticBatchNorm
from nas.supernet.elastic_convolution import ElasticConvolution
from nas.supernet.elastic_depthwise import ElasticDepthwise
from nas.supernet.elastic_layer_norm import ElasticLayerNorm
from nas.supernet.elastic_linear import ElasticLinear
from search_spaces.errors import NasError


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies the part of an elastic module that a static one of the same structure has.

    Layers are matched by their types; in other modules, each child of ``target`` that has
    weights by its name. Elastic convolutions, linear layers, attention heads and norms are known.

    Args:
        source: Elastic, or plain with the same weights as ``target``.
        target: Changed in place.

    Raises:
        NasError: if a part has no counterpart or another shape.
    """
    match source, target:
        case ElasticDepthwise(), nn.Conv2d():
            copy_tensor(target.weight, source.active_weight(target.out_channels, target.kernel_size[0]))
        case ElasticConvolution(), nn.Conv2d():
            copy_tensor(target.weight, source.active_weight(target.in_channels, target.out_channels))
        case ElasticLinear(), nn.Linear():
            copy_tensor(target.weight, source.weight[: target.out_features, : target.in_features])
            copy_tensor(target.bias, source.bias[: target.out_features])
        case ElasticHeads(), nn.Linear():
            weight, bias = source.active(target.in_features, target.out_features // 3)
            copy_tensor(target.weight, weight)
            copy_tensor(target.bias, bias)
        case ElasticLayerNorm(), nn.LayerNorm():
            (width,) = target.normalized_shape
            copy_tensor(target.weight, source.weight[:width])
            copy_tensor(target.bias, source.bias[:width])
        case ElasticBatchNorm(), nn.BatchNorm2d():
            for name in ("weight", "bias", "running_mean", "running_var"):
                copy_tensor(getattr(target, name), getattr(source, name)[: target.num_features])
        case _:
            _copy_parts(source, target)


def _copy_parts(source: nn.Module, target: nn.Module) -> None:
    own = {**dict(target.named_parameters(recurse=False)), **dict(target.named_buffers(recurse=False))}
    for name, tensor in own.items():
        found = getattr(source, name, None)
        if not isinstance(found, Tensor):
            raise NasError(f"{type(source).__name__} has no {name} for the {type(target).__name__} extracted from it.")
        copy_tensor(tensor, found)
    for name, part in target.named_children():
        elastic = getattr(source, name, None)
        if isinstance(elastic, nn.Module):
            copy_weights(elastic, part)
        elif part.state_dict():
            raise NasError(f"{type(source).__name__} has no {name} for the {type(target).__name__} extracted from it.")


@torch.no_grad()
def copy_tensor(target: Tensor, source: Tensor) -> None:
    """Copies values; shapes must agree exactly, since broadcasting would hide a wrong slice."""
    if target.shape != source.shape:
        raise NasError(f"cannot copy a tensor of shape {tuple(source.shape)} into one of {tuple(target.shape)}.")
    target.copy_(source)
