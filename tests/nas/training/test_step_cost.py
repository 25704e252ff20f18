from itertools import count

from nas.training.step_cost import measure_step_cost
from tests.nas.training.test_network_training import PREPARED, SETTINGS
from tests.nas.training.test_trainer import ONE_THREAD, SPACE


def test_both_ways_are_timed_and_set_against_each_other():
    # A clock that ticks at each look: every stretch takes one tick.
    ticks = count()
    cost = measure_step_cost(SPACE, PREPARED, SETTINGS, ONE_THREAD, clock=lambda: float(next(ticks)))
    assert cost.sandwich_s == cost.separate_s == 1.0
    assert cost.ratio == 1.0
    assert cost.images_per_s == cost.batch_size == 16
