import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.networks.depthwise_gradient import depthwise_conv2d
from nas.networks.layers import ConvUnit


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(14, 14), (7, 9), (6, 11), (4, 4), (3, 2), (2, 2), (1, 1), (1, 8)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_equal_the_plain_convolution(kernel, stride, size, layout):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 24, *size, generator=draw).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(24, 1, kernel, kernel, generator=draw, requires_grad=True)
    expected = functional.conv2d(x, weight, None, stride, kernel // 2, 1, 24)
    found = depthwise_conv2d(x, weight, stride)
    assert found.equal(expected)
    gradient = torch.randn(expected.shape, generator=draw)
    for a, b in zip(
        torch.autograd.grad(found, (x, weight), gradient),
        torch.autograd.grad(expected, (x, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_an_image_that_needs_no_gradient_gets_none():
    x, weight = torch.randn(2, 8, 6, 6), torch.randn(8, 1, 5, 5, requires_grad=True)
    depthwise_conv2d(x, weight, 1).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2), (7, 1)])
def test_static_networks_train_with_the_same_gradient_and_fold(kernel, stride):
    torch.manual_seed(0)
    unit = ConvUnit(8, 8, activation="relu", kernel=kernel, stride=stride, groups=8)
    plain = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False)
    plain.load_state_dict(unit.conv.state_dict())
    x = torch.randn(4, 8, 9, 10).contiguous(memory_format=torch.channels_last)
    expected = plain(x)
    expected.square().sum().backward()
    found = unit.conv(x)
    found.square().sum().backward()
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(unit.conv.weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-3)
    unit(x)  # batch norm's statistics
    unit.eval()
    before = unit(x)
    unit.fold()
    assert torch.allclose(unit(x), before, atol=1e-5)
