import math

import numpy as np
import pytest
from scipy import stats

from nas.evaluation.ranking_fidelity import RankingFidelity


def draw(images: int, networks: int, correlation: float, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Which images are right, and the tau of the accuracies that they are drawn from."""
    rng = np.random.default_rng(seed)
    covariance = 0.01**2 * np.array([[1, correlation], [correlation, 1]])
    truth = 0.85 + rng.multivariate_normal([0, 0], covariance, networks)
    hard = rng.random(images)
    # Half of each image's fate is shared by all networks, as with real ones.
    fate = np.where(rng.random((2, networks, images)) < 0.5, hard, rng.random((2, networks, images)))
    first, second = (fate[part] < truth[:, part, None] for part in (0, 1))
    return first, second, float(stats.kendalltau(truth[:, 0], truth[:, 1]).statistic)


def test_tau_is_that_of_the_accuracies_and_the_interval_holds_it():
    first, second, _ = draw(400, 12, 0.8, 1)
    found = RankingFidelity.of(first, second)
    expected = stats.kendalltau(first.mean(axis=1), second.mean(axis=1)).statistic
    assert found.kendall_tau == pytest.approx(expected)
    low, high = found.kendall_tau_interval_90
    assert -1 <= low <= expected <= high <= 1
    assert RankingFidelity.of(first, second) == found


def test_the_interval_is_that_of_resampled_networks():
    first, second, _ = draw(50, 7, 0.5, 4)  # few images, so that there are ties
    x, y = first.mean(axis=1), second.mean(axis=1)
    rng = np.random.default_rng(3)
    taus = [stats.kendalltau(x[rows], y[rows]).statistic for rows in rng.integers(0, 7, (3000, 7))]
    expected = np.nanquantile(taus, (0.05, 0.95))
    np.testing.assert_allclose(RankingFidelity.of(first, second).kendall_tau_interval_90, expected, atol=0.05)


def test_the_correction_removes_what_few_images_cost():
    runs = [draw(600, 40, 0.8, seed) for seed in range(40)]
    found = [RankingFidelity.of(first, second) for first, second, _ in runs]
    truth = float(np.mean([tau for *_, tau in runs]))
    raw = float(np.mean([one.kendall_tau for one in found]))
    corrected = float(np.nanmean([one.kendall_tau_noise_corrected for one in found]))
    assert raw < truth - 0.15
    assert abs(corrected - truth) < 0.06


def test_with_many_images_there_is_little_to_correct():
    first, second, truth = draw(100_000, 15, 0.9, 2)
    found = RankingFidelity.of(first, second)
    assert found.kendall_tau == pytest.approx(truth, abs=0.1)
    assert found.kendall_tau_noise_corrected == pytest.approx(truth, abs=0.15)


def test_what_cannot_be_ranked_is_nan():
    right = np.ones((5, 9), dtype=bool)
    found = RankingFidelity.of(right, right)
    assert math.isnan(found.kendall_tau)
    assert math.isnan(found.kendall_tau_noise_corrected)
    assert math.isnan(RankingFidelity.of(right[:2], right[:2]).kendall_tau)
