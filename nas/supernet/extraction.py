"""Cuts one network out of a supernet."""

from torch import nn

from nas.networks.layers import ConvUnit, SqueezeExcite
from nas.supernet.elastic_batch_norm import ElasticBatchNorm
from nas.supernet.elastic_convolution import ElasticConvolution
from nas.supernet.elastic_depthwise import ElasticDepthwise
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_squeeze_excite import ElasticSqueezeExcite
from nas.supernet.static_network import StaticNetwork, copy_tensor
from nas.supernet.supernet import ElasticBlock, ElasticConvUnit, ElasticDepthwiseUnit, Supernet
from search_spaces.errors import NasError
from search_spaces.space import IntArray


def extract(supernet: Supernet, genotype: IntArray) -> StaticNetwork:
    """The network of a genotype with the supernet's weights and statistics, in evaluation mode.

    Its outputs equal the supernet's under :meth:`Supernet.use`. The supernet is only
    read; the network shares no memory with it.

    Raises:
        InvalidGenotypeError: where the genotype is not of the supernet's space.
    """
    network = StaticNetwork.from_shape(supernet.space, genotype)
    _copy_conv_unit(supernet.stem, network.stem.unit)
    for unit in network.units[1:-1]:
        _copy_block(supernet.block(unit), network.unit(unit))
    _copy_conv_unit(supernet.head.expand, network.head.expand)
    _copy_linear(supernet.head.feature, network.head.feature)
    _copy_linear(supernet.head.classifier, network.head.classifier)
    return network


def _copy_block(source: ElasticBlock, target: nn.Module) -> None:
    for name, part in target.named_children():
        elastic = getattr(source, name)
        if isinstance(part, ConvUnit):
            _copy_conv_unit(elastic, part)
        elif isinstance(part, SqueezeExcite):
            _copy_squeeze_excite(elastic, part)
        else:
            raise NasError(f"a block's part {name} has no elastic counterpart.")


def _copy_conv_unit(source: ElasticConvUnit | ElasticDepthwiseUnit, target: ConvUnit) -> None:
    conv, elastic = target.conv, source.conv
    if isinstance(elastic, ElasticDepthwise):
        weight = elastic.active_weight(conv.out_channels, conv.kernel_size[0])
    elif isinstance(elastic, ElasticConvolution):
        weight = elastic.active_weight(conv.in_channels, conv.out_channels)
    copy_tensor(conv.weight, weight)
    if isinstance(target.norm, nn.BatchNorm2d):
        _copy_batch_norm(source.norm, target.norm)


def _copy_batch_norm(source: ElasticBatchNorm, target: nn.BatchNorm2d) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        copy_tensor(getattr(target, name), getattr(source, name)[: target.num_features])


def _copy_squeeze_excite(source: ElasticSqueezeExcite, target: SqueezeExcite) -> None:
    _copy_linear(source.reduce, target.reduce)
    _copy_linear(source.restore, target.restore)


def _copy_linear(source: ElasticLinear, target: nn.Linear) -> None:
    copy_tensor(target.weight, source.weight[: target.out_features, : target.in_features])
    copy_tensor(target.bias, source.bias[: target.out_features])
