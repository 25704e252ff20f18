"""``hwnas search list|resume|cancel|report``, ``hwnas recommend`` and ``hwnas front diff`` on stored rows."""

import warnings

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.jobs.queue import JobQueue
from nas.store import open_store
from nas.store.searches import StoredGeneration, Trial
from tests.nas.store.rows import PROFILE, SPACE, front_body, front_member, open_search, put_candidates

FIGURES = [(1.0, 100, 0.7), (2.0, 400, 0.8), (4.0, 200, 0.9)]


@pytest.fixture
def stored(hwnas):
    """A search of the command line with two fronts, and a queued job; ids by name."""
    with open_store(hwnas.home / "hwnas.db") as store:
        open_search(store, "5ea1")
        ids = put_candidates(store, 3)
        members = [
            front_member(candidate, p95_ms=p95_ms, size_bytes=size_bytes, accuracy=accuracy)
            for candidate, (p95_ms, size_bytes, accuracy) in zip(ids, FIGURES, strict=True)
        ]
        members[1]["quality"] = "noisy"
        first = store.fronts.add("5ea1", front_body(members[:2])).id
        second = store.fronts.add("5ea1", front_body(members[1:], seed=8)).id
        store.searches.release()
        job = JobQueue(store).enqueue("search", {"device": PROFILE.id, "evaluations": 30}, job_id="b0b0")
    return {"first": first, "second": second, "job": job.id, "candidates": ids}


@pytest.mark.usefixtures("stored")
def test_searches_are_listed(hwnas):
    listed = hwnas.json("search", "list")
    assert [(one["id"], one["state"], one["source"]) for one in listed] == [
        ("b0b0", "queued", "service"),
        ("5ea1", "interrupted", "command line"),
    ]
    assert [one["id"] for one in hwnas.json("search", "list", "--state", "interrupted")] == ["5ea1"]
    assert hwnas.json("search", "list", "--device", "phone") == []
    code, out, _ = hwnas("search", "list", "--limit", 1)
    assert code == 0
    assert "b0b0" in out
    assert "--limit 2" in out


@pytest.mark.usefixtures("stored")
def test_searches_are_cancelled_and_resumed(hwnas):
    assert hwnas.json("search", "cancel", "5e")["state"] == "cancelled"
    assert hwnas.json("search", "cancel", "b0b0")["state"] == "cancelled"
    code, out, _ = hwnas("search", "resume", "b0b0")
    assert (code, out) == (0, "search b0b0 is queued; `hwnas serve` or `hwnas worker` runs queued searches.\n")
    assert "leave out --evaluations" in hwnas.refused("search", "resume", "b0b0", "--evaluations", 50)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("command", ["resume", "cancel", "report"])
def test_an_unknown_search_is_named(hwnas, command):
    assert "5ea1" in hwnas.refused("search", command, "abcdef")


@pytest.mark.usefixtures("stored")
def test_a_report_is_written(hwnas, tmp_path):
    out = tmp_path / "r.html"
    assert hwnas.json("search", "report", "5ea1", "--out", out)["file"] == str(out)
    assert "Search 5ea1" in out.read_text("utf-8")
    (tmp_path / "folder").mkdir()
    assert "is a folder" in hwnas.refused("search", "report", "5ea1", "--out", tmp_path / "folder")


def test_a_search_opens_in_optuna(hwnas, stored, tmp_path):
    with open_store(hwnas.home / "hwnas.db") as store:
        trials = tuple(
            Trial(
                genotype=store.candidates.get(candidate).genotype,
                candidate_id=candidate,
                state="complete",
                values=(p95_ms, accuracy),
                system_attrs={
                    "metrics": {"latency_p50_ms": p95_ms, "latency_p95_ms": p95_ms, "size_bytes": 9.0}
                    | {"accuracy": accuracy},
                    "images_val": 100,
                    "quality": "ok",
                },
            )
            for candidate, (p95_ms, _, accuracy) in zip(stored["candidates"], FIGURES, strict=True)
        )
        open_search(store, "5ea1")
        store.searches.append_generation("5ea1", StoredGeneration(number=0, evaluations=3, trials=trials, notes={}))
    out = tmp_path / "study.log"
    assert hwnas.json("search", "study", "5ea1", "--out", out)["trials"] == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.load_study(study_name="5ea1", storage=JournalStorage(JournalFileBackend(str(out))))
    assert [trial.values for trial in study.trials] == [[p95_ms, accuracy] for p95_ms, _, accuracy in FIGURES]


def test_a_recommendation_is_out_of_every_front(hwnas, stored):
    answer = hwnas.json("recommend", PROFILE.id)
    assert (answer["member"]["candidate"], answer["front"]) == (stored["candidates"][2], stored["second"])
    answer = hwnas.json("recommend", PROFILE.id, "--max-latency-p95-ms", 1.5, "--space", SPACE.name)
    assert (answer["member"]["candidate"], answer["front"]) == (stored["candidates"][0], stored["first"])
    assert answer["limits"] == {"max_latency_p95_ms": 1.5}
    code, out, _ = hwnas("recommend", PROFILE.id, "--max-latency-p95-ms", 2.5)
    assert code == 0
    assert "noisy reading" in out
    assert "hwnas export" in out


@pytest.mark.usefixtures("stored")
def test_limits_that_nothing_meets_name_the_closest(hwnas):
    code, out, err = hwnas("recommend", PROFILE.id, "--max-size-bytes", 50)
    assert (code, out) == (1, "")
    assert "closest 100" in err
    assert "unknown supernet" not in err
    code, _, err = hwnas("recommend", PROFILE.id, "--data", "digits")
    assert code == 1
    assert "digits" in err
    assert "above 0" in hwnas.refused("recommend", PROFILE.id, "--max-load-time-ms", 0)


def test_fronts_are_compared(hwnas, stored):
    found = hwnas.json("front", "diff", stored["first"][:8], stored["second"][:8])
    assert [member["candidate"] for member in found["only_a"]] == [stored["candidates"][0]]
    assert [member["candidate"] for member in found["only_b"]] == [stored["candidates"][2]]
    assert [common["changed"] for common in found["both"]] == [{}]
    code, out, _ = hwnas("front", "diff", stored["first"], stored["second"])
    assert code == 0
    assert "hypervolume" in out
    assert "unchanged" in out


def test_a_table_marks_noisy_readings(hwnas, stored):
    code, out, _ = hwnas("front", "show", stored["first"])
    assert code == 0
    assert "~1.800" in out
    assert "noisy" in out
    assert "expected" in out


def test_the_options_of_a_search_are_checked_first(hwnas):
    for arguments, words in (
        (("--objective", "accuracy"), "2 to 4"),
        (("--objective", "accuracy", "--objective", "speed"), "speed"),
        (("--max-latency-p95-ms", -1), "max_latency_p95_ms"),
        (("--method", "grid"), "grid"),
        (("--method", "integer_programming", "--evaluations", 7), "at least 10"),
    ):
        assert words in hwnas.refused("search", *arguments)
    code, out, _ = hwnas("search", "--help")
    assert code == 0
    assert "resume" in out
