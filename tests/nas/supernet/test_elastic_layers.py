import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.networks.attention import attend
from nas.supernet.elastic_attention import ElasticAttention, ElasticHeads
from nas.supernet.elastic_batch_norm import ElasticBatchNorm
from nas.supernet.elastic_convolution import ElasticConvolution
from nas.supernet.elastic_depthwise import ElasticDepthwise
from nas.supernet.elastic_layer_norm import ElasticLayerNorm
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_squeeze_excite import ElasticSqueezeExcite
from search_spaces.mobilenet_v3_config import squeeze_width


def test_convolution_uses_the_first_channels():
    layer = ElasticConvolution(8, 16, kernel=3, stride=2)
    x = torch.randn(2, 5, 9, 9)
    expected = functional.conv2d(x, layer.weight[:7, :5], None, 2, 1)
    assert layer(x, 7).equal(expected)


def test_linear_uses_the_first_features():
    layer = ElasticLinear(8, 16)
    x = torch.randn(2, 5)
    torch.testing.assert_close(layer(x, 7), x @ layer.weight[:7, :5].t() + layer.bias[:7])


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_kernels_start_as_the_centre_of_the_largest(kernel):
    layer = ElasticDepthwise(8, (3, 5, 7))
    margin = (7 - kernel) // 2
    centre = layer.weight[:6, :, margin : 7 - margin, margin : 7 - margin]
    torch.testing.assert_close(layer.active_weight(6, kernel), centre)


def test_small_kernels_pass_through_both_transforms():
    layer = ElasticDepthwise(4, (3, 5, 7))
    with torch.no_grad():
        for matrix in layer.transforms.values():
            matrix.normal_()
    five = (layer.weight[:, 0, 1:6, 1:6].reshape(4, 25) @ layer.transforms["5"].t()).reshape(4, 5, 5)
    three = (five[:, 1:4, 1:4].reshape(4, 9) @ layer.transforms["3"].t()).reshape(4, 1, 3, 3)
    torch.testing.assert_close(layer.active_weight(4, 3), three)
    torch.testing.assert_close(layer.active_weight(2, 3), three[:2])


def test_batch_norm_trains_on_the_batch_and_leaves_the_running_statistics_alone():
    layer = ElasticBatchNorm(8).train()
    x = torch.randn(16, 5, 3, 3) + 4
    torch.testing.assert_close(layer(x), nn.BatchNorm2d(5).train()(x))
    assert (layer.running_mean == 0).all()
    assert (layer.running_var == 1).all()


def test_squeeze_excite_is_that_of_a_smaller_one():
    layer = ElasticSqueezeExcite(64)
    x = torch.randn(2, 40, 3, 3)
    hidden = squeeze_width(40)
    inner = functional.relu(x.mean((2, 3)) @ layer.reduce.weight[:hidden, :40].t() + layer.reduce.bias[:hidden])
    gate = functional.hardsigmoid(inner @ layer.restore.weight[:40, :hidden].t() + layer.restore.bias[:40])
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def test_fewer_heads_are_the_first_of_more():
    layer, x = ElasticHeads(12, 4 * 8), torch.randn(5, 9)
    whole = functional.linear(x, layer.weight[:, :9], layer.bias).reshape(5, 3, 4, 8)
    torch.testing.assert_close(layer(x, 2 * 8).reshape(5, 3, 2, 8), whole[:, :, :2])


def test_attention_is_pytorchs_over_the_tokens_of_each_image():
    projected = torch.randn(2 * 7, 3 * 4 * 8)
    queries, keys, values = projected.reshape(2, 7, 3, 4, 8).permute(2, 0, 3, 1, 4)
    expected = functional.scaled_dot_product_attention(queries, keys, values)
    found = attend(projected, tokens=7, heads=4)
    torch.testing.assert_close(found, expected.permute(0, 2, 1, 3).reshape(2 * 7, 4 * 8))


def test_attention_keeps_the_width_of_its_input():
    layer = ElasticAttention(12, 4 * 8, scale=1.0)
    x = torch.randn(2 * 7, 9)
    mixed = attend(layer.heads(x, 3 * 8), tokens=7, heads=3)
    expected = mixed @ layer.project.weight[:9, : 3 * 8].t() + layer.project.bias[:9]
    torch.testing.assert_close(layer(x, tokens=7, heads=3, head_dim=8), expected)


def test_layer_norm_takes_the_statistics_of_the_channels_that_are_there():
    layer, x = ElasticLayerNorm(12), torch.randn(5, 9)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    torch.testing.assert_close(layer(x), functional.layer_norm(x, (9,), layer.weight[:9], layer.bias[:9]))
