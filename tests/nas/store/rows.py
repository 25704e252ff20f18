"""Rows that tests start from: a device, a supernet, candidates and a front of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from hw_profiles.measurement import Measurement
from hw_profiles.profile import DeviceProfile
from nas.store import Store
from nas.store.searches import SearchSpec, StoredSearch
from nas.store.supernets import NewSupernet
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
SUPERNET_ID = "5" * 64
PROFILE = DeviceProfile(
    id="local-cpu/tvm",
    device="local-cpu",
    runtime="tvm",
    runtime_version="0.27.0",
    processor="A Processor",
    architecture="x86_64",
    isa=("avx2", "avx512f"),
    cores=2,
    precisions={"fp32": "native", "int8": "emulated"},
)


def put_device(store: Store, profile_id: str = PROFILE.id) -> DeviceProfile:
    profile = replace(PROFILE, id=profile_id)
    store.devices.put(profile)
    return profile


def put_supernet(store: Store, supernet_id: str = SUPERNET_ID, data_fingerprint: str = "d" * 64) -> str:
    store.supernets.put(
        NewSupernet(
            id=supernet_id,
            space=SPACE.name,
            task=SPACE.task,
            data_name="fashion-mini",
            data_fingerprint=data_fingerprint,
            folder=supernet_id[:12],
            metrics={"largest_accuracy": 0.88},
        )
    )
    return supernet_id


def put_candidates(store: Store, count: int, seed: int = 0) -> tuple[str, ...]:
    return store.candidates.put(SPACE, SPACE.sample(count, np.random.default_rng(seed)))


def open_search(store: Store, search_id: str = "search-1", profile_id: str = PROFILE.id) -> StoredSearch:
    put_device(store, profile_id)
    return store.searches.open(
        SearchSpec(
            id=search_id,
            profile_id=profile_id,
            supernet_id=put_supernet(store),
            space=SPACE.name,
            settings={"budget": 40},
            seed=7,
        )
    )


def measurement(candidate_id: str, p50_ms: float = 1.5, p95_ms: float = 1.75) -> Measurement:
    return Measurement(
        candidate_id=candidate_id,
        profile_id=PROFILE.id,
        fingerprint=PROFILE.fingerprint,
        latency_p50_ms=p50_ms,
        latency_p95_ms=p95_ms,
        samples_ms=(1.4, 1.5, 1.75),
        rounds=1,
        spread=0.01,
        anchor_factor=1.0,
        repeatability=0.01,
        quality="ok",
        attempts=1,
        artifact=Path("model.so"),
        artifact_sha256="a" * 64,
        size_bytes=1000,
        max_abs_error=1e-6,
        top1_agreement=1.0,
        compile_s=2.5,
        measured_at="2026-01-01T00:00:00+00:00",
    )


def front_member(candidate_id: str, *, p95_ms: float, size_bytes: int, accuracy: float) -> dict[str, object]:
    def latency(value_ms: float) -> dict[str, object]:
        return {"measured": value_ms, "predicted": value_ms * 1.01, "interval_90": [value_ms * 0.9, value_ms * 1.1]}

    return {
        "candidate": candidate_id,
        "summary": "24px, 5 blocks",
        "precision": "fp32",
        "size_bytes": size_bytes,
        "latency_p50_ms": latency(p95_ms * 0.9),
        "latency_p95_ms": latency(p95_ms),
        "accuracy_val": accuracy,
        "accuracy_test": accuracy - 0.01,
        "artifacts": {kind: f"artifacts/{kind}" for kind in ("onnx", "tvm", "weights", "manifest")},
    }


def front_body(members: list[dict[str, object]], *, device: str = PROFILE.id, seed: int = 7) -> bytes:
    document = {
        "schema": "hwnas.front/1",
        "device": device,
        "space": SPACE.name,
        "data": "fashion-mini",
        "seed": seed,
        "evaluations": 40,
        "members": members,
        "baselines": {"largest_fp32": members[0], "largest_int8": members[0], "random": []} if members else {},
    }
    return json.dumps(document, indent=1).encode()
