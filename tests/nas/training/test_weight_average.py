import torch

from nas.families.registry import build_supernet
from nas.training.weight_average import WeightAverage
from search_spaces.registry import get_space


def test_the_average_follows_the_weights_by_its_decay():
    supernet = build_supernet(get_space("mobilenet_v3:tiny"), seed=1)
    average = WeightAverage(supernet, 0.5)
    (bias,) = [p for name, p in supernet.named_parameters() if name == "head.classifier.bias"]
    expected = bias.detach().clone()
    for step in (1, 2, 30):
        with torch.no_grad():
            bias.add_(1.0)
        average.update(supernet, step)
        decay = min(0.5, step / (10 + step))
        expected = decay * expected + (1 - decay) * bias.detach()
    torch.testing.assert_close(average.network.head.classifier.bias.detach(), expected)
    other = WeightAverage(build_supernet(get_space("mobilenet_v3:tiny"), seed=2), 0.5)
    other.load(average.state())
    assert all(a.equal(b) for a, b in zip(other.state().values(), average.state().values(), strict=True))
