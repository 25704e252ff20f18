"""A real server on a free loopback port over a filled store."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.server import running
from hw_profiles.measurement import MeasurementFailure
from nas.home import Home, write_bytes
from nas.jobs import JobQueue
from nas.store import Store, open_store
from nas.store.artifacts import Artifact
from nas.store.evaluations import Evaluation
from nas.store.fronts import FrontInfo
from tests.nas.store.rows import (
    PROFILE,
    SUPERNET_ID,
    front_body,
    front_member,
    measurement,
    open_search,
    put_candidates,
    put_device,
)

FIGURES = [(0.5, 40_000, 0.70), (0.8, 60_000, 0.80), (1.2, 50_000, 0.85), (2.5, 120_000, 0.90)]
"""p95 in ms, bytes and validation accuracy of the front's members."""
ARTIFACT = b"\x7fELF a compiled network"


@dataclass(frozen=True, slots=True)
class Service:
    """A served store and what was put there."""

    client: httpx.Client
    store: Store
    queue: JobQueue
    home: Home
    url: str
    front: FrontInfo
    body: bytes
    candidates: tuple[str, ...]
    artifact: str


def fill(store: Store, home: Home) -> tuple[FrontInfo, bytes, tuple[str, ...], str]:
    open_search(store)
    put_device(store, "local-cpu/onnxruntime")
    ids = put_candidates(store, len(FIGURES))
    members = [
        front_member(candidate_id, p95_ms=p95_ms, size_bytes=size_bytes, accuracy=accuracy)
        for candidate_id, (p95_ms, size_bytes, accuracy) in zip(ids, FIGURES, strict=True)
    ]
    body = front_body(members)
    front = store.fronts.add("search-1", body)
    store.evaluations.put(
        [Evaluation(supernet_id=SUPERNET_ID, candidate_id=ids[0], part="val", accuracy=0.7, images=1000)]
    )
    store.measurements.add(measurement(ids[0]), supernet_id=SUPERNET_ID)
    store.measurements.add(
        MeasurementFailure(
            candidate_id=ids[0], profile_id=PROFILE.id, fingerprint=PROFILE.fingerprint, stage="compile",
            message="no kernel", measured_at="2026-01-01T00:00:00+00:00",
        )
    )  # fmt: skip
    sha256 = hashlib.sha256(ARTIFACT).hexdigest()
    path = f"{sha256[:2]}/{sha256}.so"
    write_bytes(home.artifacts / path, ARTIFACT)
    store.artifacts.put(Artifact(sha256=sha256, kind="tvm", size_bytes=len(ARTIFACT), path=path, candidate_id=ids[0]))
    return front, body, ids, sha256


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Tests share it: they add jobs and change nothing else."""
    home = Home(Path(tmp_path_factory.mktemp("home")))
    with open_store(home.root / "hwnas.db") as store:
        front, body, ids, artifact = fill(store, home)
        with running(store, home) as url, httpx.Client(base_url=url) as client:
            yield Service(client, store, JobQueue(store), home, url, front, body, ids, artifact)
