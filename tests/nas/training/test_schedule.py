from itertools import pairwise

import pytest

from nas.training.schedule import learning_rate


def test_rises_to_the_peak_then_falls_to_nearly_zero():
    rates = [learning_rate(step, 100, peak=0.5, warmup_share=0.1) for step in range(100)]
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert max(rates) == rates[10] == 0.5
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_one_step_has_a_rate(share):
    assert 0 < learning_rate(0, 1, peak=0.5, warmup_share=share) <= 0.5
