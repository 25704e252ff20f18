"""Predictors fitted to a known law and stored, as a calibration would leave them."""

import numpy as np

from nas.home import Home
from nas.store import Store
from nas.workflows.predictor_revisions import store_revision
from nas.workspace import Workspace
from predictors.accuracy import AccuracyPredictor
from predictors.latency import LatencyPredictor
from tests.nas.store.rows import PROFILE, SPACE, put_device, put_supernet
from tests.predictors.synthetic import device_latency_ms, task_accuracy


def put_latency_predictor(
    home: Home, store: Store, device: str = PROFILE.id, seed: int = 0
) -> tuple[str, LatencyPredictor]:
    profile = put_device(store, device)
    rng = np.random.default_rng(seed)
    rows = SPACE.sample(20, rng)
    predictor = LatencyPredictor.fit(SPACE, rows, device_latency_ms(SPACE, rows, rng), seed=0, repeatability=0.02)
    revision = store_revision(
        Workspace(home, store),
        predictor,
        profile_id=profile.id,
        supernet_id=None,
        provenance={"fingerprint": profile.fingerprint, "samples": 20, "request": {"space": SPACE.name, "budget": 20}},
    )
    return revision, predictor


def put_accuracy_predictor(home: Home, store: Store) -> tuple[str, AccuracyPredictor]:
    rng = np.random.default_rng(0)
    rows = SPACE.sample(30, rng)
    predictor = AccuracyPredictor.fit(SPACE, rows, task_accuracy(SPACE, rows, rng), seed=0)
    return store_revision(
        Workspace(home, store), predictor, profile_id=None, supernet_id=put_supernet(store)
    ), predictor
