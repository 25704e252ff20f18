"""``hwnas batch``, ``hwnas keys``, ``hwnas doctor`` and what ``hwnas serve`` refuses."""

import inspect
import subprocess
import sys
import tomllib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from api.cli import serve
from nas.jobs.queue import JobQueue
from nas.jobs.requests import BatchRequest
from nas.jobs.submission import DEFAULT_MAX_QUEUED
from nas.store import open_store
from nas.store.database import utc_now
from tests.nas.store.rows import PROFILE, SPACE, put_device, put_supernet

SAMPLE = Path(__file__).parents[3] / "docs" / "batch.toml"
MEMBERS = f"""
name = "night"
[[searches]]
device = "{PROFILE.id}"
space = "{SPACE.name}"
limits = {{ max_latency_p95_ms = 2 }}
[[calibrations]]
device = "{PROFILE.id}"
space = "{SPACE.name}"
budget = 6
"""


@pytest.fixture
def filled(hwnas):
    """A home with a device and a supernet."""
    with open_store(hwnas.home / "hwnas.db") as store:
        put_device(store)
        put_device(store, "local-cpu/onnxruntime")
        put_supernet(store)
    return hwnas


def test_the_sample_file_is_a_batch(filled):
    asked = BatchRequest.model_validate(tomllib.loads(SAMPLE.read_text()))
    listed = filled.json("batch", "run", SAMPLE, "--no-wait")
    assert len(listed["members"]) == len(asked.searches) + len(asked.calibrations) == 3
    assert {one["state"] for one in listed["members"]} == {"queued"}


def test_a_file_is_queued_listed_and_cancelled(filled, tmp_path):
    file = tmp_path / "batch.toml"
    file.write_text(MEMBERS)
    batch = filled.json("batch", "run", file, "--no-wait")
    assert [(one["kind"], one["device"], one["state"]) for one in batch["members"]] == [
        ("search", PROFILE.id, "queued"),
        ("calibration", PROFILE.id, "queued"),
    ]
    assert [(one["batch"], one["name"]) for one in filled.json("batch", "list")] == [(batch["batch"], "night")]
    assert filled.json("batch", "show", batch["batch"]) == batch
    with open_store(filled.home / "hwnas.db") as store:
        job = JobQueue(store).get(batch["members"][0]["id"])
        assert job.request["limits"] == {"max_latency_p95_ms": 2}
    assert filled.json("batch", "cancel", batch["batch"])["state"] == "cancelled"
    code, out, _ = filled("batch", "resume", batch["batch"])
    assert (code, "cancelled" in out) == (1, True)
    assert "no batch" in filled("batch", "show", "nothing")[2] or "nothing" in filled("batch", "show", "nothing")[2]


def test_a_member_that_cannot_run_fails_and_the_batch_with_it(filled, tmp_path):
    file = tmp_path / "batch.toml"
    file.write_text(MEMBERS[: MEMBERS.index("[[calibrations]]")])
    code, out, err = filled("batch", "run", file)
    assert code == 1, err
    assert "failed" in out
    assert "Traceback" not in out + err


def test_a_batch_that_waits_for_another_host_names_it(filled, tmp_path):
    file = tmp_path / "batch.toml"
    file.write_text(f'[[calibrations]]\ndevice = "beta/tvm"\nspace = "{SPACE.name}"\n')
    with open_store(filled.home / "hwnas.db") as store:
        store.devices.put(replace(PROFILE, id="beta/tvm", device="beta"))
        with subprocess.Popen(
            [sys.executable, "-m", "nas.cli", "batch", "run", file], stderr=subprocess.PIPE, text=True
        ) as process:
            lines = iter(process.stderr)
            said = next((line for line in lines if "beta" in line), "")
            assert said == "waiting for hosts without a worker: beta (1 job); start `hwnas worker` there.\n"
            (job,) = JobQueue(store).all()
            JobQueue(store).cancel(job.id)
            assert process.wait(60) == 1
            assert list(lines) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[searches]\n", "not TOML"),
        ("", "searches"),
        ("nothing = 1\n", "nothing"),
        (MEMBERS.replace("budget = 6", "budget = 1"), "calibrations.0.budget"),
        (MEMBERS.replace("limits = {", "limits = { max_latency = 1,"), "searches.0.limits.max_latency"),
        (MEMBERS.replace(PROFILE.id, "phone", 1), "searches.0.device"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_queued(filled, tmp_path, text, named):
    file = tmp_path / "batch.toml"
    file.write_text(text)
    assert named in filled.refused("batch", "run", file)
    with open_store(filled.home / "hwnas.db") as store:
        assert JobQueue(store).all() == ()
    assert "cannot be read" in filled.refused("batch", "run", tmp_path / "none.toml")


def test_keys_are_made_listed_and_revoked(hwnas):
    made = hwnas.json("keys", "create", "laptop", "--scope", "read", "--tenant", "t")
    assert made["key"].startswith("hwnas_")
    (listed,) = hwnas.json("keys", "list")
    assert listed == {name: value for name, value in made.items() if name != "key"}
    code, out, _ = hwnas("keys", "create", "other")
    assert (code, out.count("\n"), out.startswith("hwnas_")) == (0, 1, True)
    assert hwnas.json("keys", "revoke", made["id"])["revoked_at"] is not None
    with open_store(hwnas.home / "hwnas.db") as store:
        assert store.api_keys.find_active(made["key"]) is None
        assert store.api_keys.find_active(out.strip()).scopes == {"read", "submit", "calibrate"}
    assert (made["max_queued"], made["max_measurements_per_day"], made["max_priority"]) == (None, None, 0)
    limited = hwnas.json(
        "keys", "create", "n", "--max-queued", 3, "--max-measurements-per-day", 100, "--max-priority", 7
    )
    assert (limited["max_queued"], limited["max_measurements_per_day"], limited["max_priority"]) == (3, 100, 7)
    assert "--scope" in hwnas.refused("keys", "create", "x", "--scope", "write")
    assert "the name" in hwnas.refused("keys", "create", " ")
    assert hwnas("keys", "revoke", "0000")[0] == 1


def test_serving_other_machines_needs_a_key(hwnas):
    code, _, err = hwnas("serve", "--host", "0.0.0.0", "--no-worker", "--port", "0")
    assert code == 1
    assert "hwnas keys create" in err
    code, _, err = hwnas("serve", "--require-keys", "--no-worker", "--port", "0")
    assert code == 1


def test_the_doctor_names_what_needs_attention(filled):
    findings = {one["check"]: one for one in filled.json("doctor")}
    assert {"python", "torch", "runtime onnxruntime", "runtime tvm", "disk", "database", "jobs", "API keys"} <= set(
        findings
    )
    assert findings["database"]["status"] == findings["jobs"]["status"] == "ok"
    long_ago = utc_now() - timedelta(hours=1)
    with open_store(filled.home / "hwnas.db", clock=lambda: long_ago) as store:
        queue = JobQueue(store)
        for _ in range(2):
            queue.enqueue("calibration", {"device": PROFILE.id})
        queue.claim("host:77", kinds=("calibration",), lease_s=30)
        queue.enqueue("search", {"device": "beta/tvm"}, host="beta")
    findings = {one["check"]: one for one in filled.json("doctor")}
    assert findings["worker host:77"]["status"] == "warning"
    assert "jobs for its devices wait (1)" in findings["host beta"]["detail"]
    assert "hwnas worker" in findings["jobs"]["detail"]
    (filled.home / "hwnas.db").write_bytes(b"no database" * 100)
    for more in filled.home.glob("hwnas.db-*"):
        more.unlink()
    code, out, _ = filled("doctor")
    assert code == 1
    assert "not a database" in " ".join(out.split())


def test_the_help_of_serve_states_the_queues_own_bound():
    assert inspect.signature(serve).parameters["max_queued"].default == DEFAULT_MAX_QUEUED
