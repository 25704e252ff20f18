"""Copying from elastic modules; that whole networks are equal is part of the families' contract."""

import pytest
import torch
from torch import nn

from nas.networks.layers import ConvUnit, SqueezeExcite
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_squeeze_excite import ElasticSqueezeExcite
from nas.supernet.elastic_units import ElasticConvUnit
from nas.supernet.extraction import copy_tensor, copy_weights
from search_spaces.errors import NasError


def test_the_first_channels_are_copied():
    source, target = ElasticConvUnit(8, 16, kernel=3), ConvUnit(5, 7, activation="relu", kernel=3)
    with torch.no_grad():
        source.norm.running_mean.uniform_()
    copy_weights(source, target)
    assert target.conv.weight.equal(source.conv.weight[:7, :5])
    assert target.norm.running_mean.equal(source.norm.running_mean[:7])
    assert target.norm.weight.equal(source.norm.weight[:7])


def test_parts_are_matched_by_name():
    source, target = ElasticSqueezeExcite(64), SqueezeExcite(32, 8)
    copy_weights(source, target)
    assert target.reduce.weight.equal(source.reduce.weight[:8, :32])
    assert target.restore.bias.equal(source.restore.bias[:32])


def test_plain_layers_are_copied_whole():
    source, target = nn.LayerNorm(6), nn.LayerNorm(6)
    nn.init.normal_(source.weight)
    copy_weights(source, target)
    assert target.weight.equal(source.weight)


def test_a_part_without_a_counterpart_is_named():
    with pytest.raises(NasError, match="ElasticConvUnit has no reduce for the SqueezeExcite"):
        copy_weights(ElasticConvUnit(8, 8), SqueezeExcite(8, 8))
    with pytest.raises(NasError, match="Identity has no weight for the Linear"):
        copy_weights(nn.Identity(), nn.Linear(4, 4))


def test_shapes_that_only_broadcast_are_refused():
    with pytest.raises(NasError, match="cannot copy"):
        copy_tensor(torch.zeros(4, 4), torch.zeros(1, 4))
    with pytest.raises(NasError, match="cannot copy"):
        copy_weights(ElasticLinear(4, 4), nn.Linear(8, 4))
