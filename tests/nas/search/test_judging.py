"""Limits with their margins."""

import numpy as np
import pytest

from nas.metrics import Constraints, Objectives
from nas.search.judging import Evaluated, expected_accuracies, front_rows, guaranteed, nearest_message
from nas.search.metric_predictors import CostModel, feasibility
from nas.search.outcome import Outcome
from predictors.accuracy import AccuracyPredictor
from predictors.prediction import Prediction
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


def test_limits_are_compared_with_what_holds_again():
    values = {"latency_p95_ms": np.array([1.0]), "accuracy": np.array([0.9]), "size_bytes": np.array([5.0])}
    safe = guaranteed(values, np.array([0.88]), 0.1)
    assert safe["latency_p95_ms"][0] == pytest.approx(np.exp(0.1))
    assert safe["accuracy"][0] == 0.88
    assert safe["size_bytes"][0] == 5.0


def test_nine_in_ten_keep_a_latency_limit_with_its_margin_when_measured_again():
    rng = np.random.default_rng(0)
    repeatability, limit = 0.03, 1.0
    true = np.exp(rng.uniform(-0.2, 0.2, 4000))
    read, again = (true * np.exp(repeatability * rng.standard_normal(4000)) for _ in range(2))
    safe = guaranteed({"latency_p95_ms": read}, np.zeros(4000), 1.645 * np.sqrt(2) * repeatability)
    kept = safe["latency_p95_ms"] <= limit
    assert np.mean(again[kept] <= limit) >= 0.95


def test_the_nearest_network_is_named_with_what_it_misses():
    constraints = Constraints.from_limits({"max_latency_p95_ms": 1.0, "min_accuracy": 0.9})
    values = {"latency_p95_ms": np.array([1.5, 3.0]), "accuracy": np.array([0.91, 0.95])}
    message = nearest_message(constraints, values, "measured networks")
    assert "latency_p95_ms 1.5 (max_latency_p95_ms 1; best of all 1.5)" in message
    assert "accuracy" not in message


def test_a_front_of_three_objectives():
    values = {
        "latency_p50_ms": np.array([1.0, 2.0, 2.0]),
        "accuracy": np.array([0.8, 0.9, 0.9]),
        "size_bytes": np.array([5.0, 5.0, 4.0]),
    }
    assert front_rows(values, Objectives.from_names(["latency_p50_ms", "accuracy", "size_bytes"])).tolist() == [0, 2]


def test_expected_accuracies_of_the_seen_and_the_unseen():
    rng = np.random.default_rng(1)
    rows = np.unique(SPACE.sample_spread(40, rng), axis=0)
    true = 0.8 + 0.03 * (np.log(CostFacts(SPACE).column("macs", rows)) - 14.5)
    read = rng.binomial(1000, true) / 1000
    outcomes = tuple(
        Outcome(candidate_id=str(n), metrics={"accuracy": float(value)}, images_val=1000)
        for n, value in enumerate(read)
    )
    seen = Evaluated(genotypes=rows[:30], outcomes=outcomes[:30])
    unseen = Evaluated(genotypes=rows[30:], outcomes=outcomes[30:])
    posterior = expected_accuracies(SPACE, lambda g, v: AccuracyPredictor.fit(SPACE, g, v, seed=0), seen, others=unseen)
    assert len(posterior.expected) == len(rows)
    assert np.abs(posterior.expected - true).mean() < np.abs(read - true).mean()
    assert np.mean((posterior.low <= true) & (true <= posterior.high)) >= 0.9


def test_too_few_samples_leave_readings_as_they_are():
    rows = SPACE.sample(2, np.random.default_rng(0))
    outcomes = tuple(Outcome(candidate_id=str(n), metrics={"accuracy": 0.8}, images_val=500) for n in range(2))
    posterior = expected_accuracies(
        SPACE, lambda g, v: AccuracyPredictor.fit(SPACE, g, v, seed=0), Evaluated(genotypes=rows, outcomes=outcomes)
    )
    assert posterior.expected == pytest.approx([0.8, 0.8], abs=1e-3)
    assert (posterior.total_std > np.sqrt(0.16 / 500)).all()


def test_file_sizes_follow_from_cost_facts():
    rng = np.random.default_rng(2)
    facts = CostFacts(SPACE)
    rows = np.unique(SPACE.sample_spread(60, rng), axis=0)
    sizes = 30_000 + facts.column("weight_bytes", rows) + 400 * facts.column("kernels", rows)
    sizes *= np.exp(0.01 * rng.standard_normal(len(rows)))
    model = CostModel.fit(facts, rows[::2], sizes[::2])
    predicted = model.predict(rows[1::2])
    assert np.abs(np.log(predicted.value / sizes[1::2])).mean() < 0.02
    assert np.mean((predicted.low <= sizes[1::2]) & (sizes[1::2] <= predicted.high)) >= 0.75


def test_feasibility_is_the_share_of_the_distribution_within_the_limit():
    prediction = Prediction(value=np.array([0.8]), low=np.array([0.8 - 0.01645]), high=np.array([0.8 + 0.01645]))
    chance = feasibility(Constraints.from_limits({"min_accuracy": 0.81}), {"accuracy": prediction})
    assert chance[0] == pytest.approx(0.1587, abs=1e-3)
