"""A search's report from its rows."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from nas.fronts.front import Accuracy, Baselines, Budget, Front, Latency, Member
from nas.metrics import Objectives
from nas.reports.search_page import report_page, write_report
from nas.reports.search_plots import front_figure
from nas.reports.search_report import search_report, trial_metrics
from nas.store import Store
from nas.store.errors import NotStoredError
from nas.store.searches import SearchSpec, StoredGeneration, Trial
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID, open_search, put_candidates, put_device, put_supernet


def _trials(store: Store, figures: list[tuple[float, float]], seed: int) -> tuple[Trial, ...]:
    ids = put_candidates(store, len(figures), seed)
    return tuple(
        Trial(
            genotype=store.candidates.get(candidate_id).genotype,
            candidate_id=candidate_id,
            state="complete",
            values=(p50_ms, accuracy),
            system_attrs={"metrics": {"latency_p50_ms": p50_ms, "accuracy": accuracy, "size_bytes": 1000.0}},
        )
        for candidate_id, (p50_ms, accuracy) in zip(ids, figures, strict=True)
    )


def _member(candidate: str, p50_ms: float, accuracy: float) -> Member:
    return Member(
        candidate=candidate,
        summary="24px <5 blocks>",
        precision="fp32",
        size_bytes=2048,
        latency_p50_ms=Latency(measured=p50_ms, predicted=p50_ms, interval_90=(p50_ms * 0.9, p50_ms * 1.1)),
        latency_p95_ms=Latency(measured=p50_ms * 1.2),
        accuracy_val=accuracy,
        accuracy_test=accuracy - 0.02,
        accuracy=Accuracy(expected=accuracy - 0.01, interval_90=(accuracy - 0.05, accuracy + 0.03)),
        quality="noisy",
    )


@pytest.fixture
def searched(store: Store) -> Store:
    """A search of two generations with a front and a failure, and one of another method."""
    open_search(store, "search-1")
    put_device(store)
    put_supernet(store)
    store.searches.open(SearchSpec(
        id="search-2", profile_id=PROFILE.id, supernet_id=SUPERNET_ID, space=SPACE.name,
        settings={"method": "random", "evaluations": 4}, seed=9,
    ))  # fmt: skip
    first = _trials(store, [(1.0, 0.5), (4.0, 0.8)], 0)
    failed = Trial(
        genotype=first[0].genotype,
        candidate_id=first[0].candidate_id,
        state="failed",
        values=None,
        system_attrs={"failure": "compile: no <kernel>"},
    )
    second = _trials(store, [(2.0, 0.75)], 1)
    notes = {"lookups": [[[0], 0.5]] * 3}
    store.searches.append_generation("search-1", StoredGeneration(number=0, evaluations=2, trials=first, notes={}))
    store.searches.append_generation(
        "search-1", StoredGeneration(number=1, evaluations=2, trials=(*second, failed), notes=notes)
    )
    other = _trials(store, [(8.0, 0.25)], 2)
    store.searches.append_generation("search-2", StoredGeneration(number=0, evaluations=1, trials=other, notes=notes))
    members = [_member(str(trial.candidate_id), *(trial.values or (0.0, 0.0))) for trial in (first[0], *second)]
    front = Front(
        device=PROFILE.id, space=SPACE.name, data="fashion-mini", seed=7, evaluations=4, members=tuple(members),
        baselines=Baselines(largest_fp32=members[0], largest_int8=members[1], random=()),
        supernet=SUPERNET_ID, method="hwnas", budget=Budget(evaluations=4, lookups=60),
        limits={"max_latency_p95_ms": 5.0},
    )  # fmt: skip
    store.fronts.add("search-1", front.to_bytes())
    store.searches.end("search-1", "succeeded")
    return store


def test_hypervolume_grows_towards_that_of_everything(searched: Store) -> None:
    report = search_report(searched, "search-1")
    assert [run.method for run in report.runs] == ["hwnas", "random"]
    this, other = report.runs
    assert this.evaluations == (2, 4)
    # Reference: 8 ms and 0.25, where the other search is. Losses are log latency and 1 - accuracy.
    alone = np.log(8 / 4) * 0.55 + np.log(4 / 1) * 0.25
    every = np.log(8 / 4) * 0.55 + np.log(4 / 2) * 0.5 + np.log(2 / 1) * 0.25
    assert this.hypervolume == pytest.approx((alone / every, 1.0))
    assert other.hypervolume == (0.0,)
    assert (this.lookups, other.lookups) == (60, 3)


def test_genes_that_members_share_are_counted_where_they_are_active(searched: Store) -> None:
    report = search_report(searched, "search-1")
    assert report.front is not None
    rows = np.array([searched.candidates.get(member.candidate).genotype for member in report.front.members])
    active = SPACE.active(rows)
    assert {gene.name for gene in report.genes} == {
        gene.name for gene, both in zip(SPACE.genes, active.all(axis=0), strict=True) if both
    }
    for gene in report.genes:
        column = SPACE.gene_index[gene.name]
        values = [SPACE.genes[column].choices[value] for value in rows[:, column]]
        assert gene.share == values.count(gene.choice) / 2
    shares = [gene.share for gene in report.genes]
    assert shares == sorted(shares, reverse=True)


def test_failures_are_counted_by_reason(searched: Store) -> None:
    (failure,) = search_report(searched, "search-1").failures
    assert (failure.reason, len(failure.candidates)) == ("compile: no <kernel>", 1)


def test_the_page_is_self_contained_and_says_everything(searched: Store, tmp_path: Path) -> None:
    report = search_report(searched, "search-1")
    write_report(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page == report_page(report)
    without_script = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", without_script)
    assert "<script src" not in page
    assert "<kernel>" not in page
    text = unescape(without_script)
    for words in ("compile: no <kernel>", "60 float look-ups", "max_latency_p95_ms 5", "random", "1.000 (noisy)",
                  "49.0% [45.0%, 53.0%]", "search-2"):  # fmt: skip
        assert words in text


def test_a_third_objective_is_a_color_and_a_column(searched: Store) -> None:
    report = search_report(searched, "search-1")
    assert report.front is not None
    members = tuple(
        replace(member, metrics={"peak_memory_bytes": number * 2.0**20})
        for number, member in enumerate(report.front.members, start=3)
    )
    report = replace(
        report,
        objectives=Objectives.from_names(("latency_p50_ms", "accuracy", "peak_memory_bytes")),
        front=replace(report.front, members=members, objectives=("latency_p50_ms", "accuracy", "peak_memory_bytes")),
    )
    (front,) = [trace for trace in front_figure(report).data if trace.name == "front"]
    assert list(front.marker.color) == [3.0, 4.0]
    assert front.mode == "markers"
    assert "peak MiB" in report_page(report)


def test_a_search_without_generations_or_front_has_a_page_too(store: Store) -> None:
    open_search(store)
    report = search_report(store, "search-1")
    assert (report.front, report.runs, report.genes, report.failures) == (None, (), (), ())
    assert "no front yet" in report_page(report)
    with pytest.raises(NotStoredError):
        search_report(store, "nothing")


def test_trials_of_the_first_version_have_metrics() -> None:
    trial = Trial(
        genotype=(1,),
        candidate_id="a" * 64,
        state="complete",
        values=(1.5, 0.8),
        system_attrs={"latency_p95_ms": 2.0, "size_bytes": 100},
    )
    assert trial_metrics(trial) == {
        "latency_p50_ms": 1.5, "accuracy": 0.8, "latency_p95_ms": 2.0, "size_bytes": 100.0,
    }  # fmt: skip
    assert trial_metrics(replace(trial, state="failed", values=None)) == {}
