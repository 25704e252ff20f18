"""Benchmark: calibrations against held-out measurements of a device."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from nas.measuring.context import DeviceContext
from nas.measuring.drift import find_drift
from nas.measuring.network_measurer import random_weight_measurer
from nas.progress import Progress
from nas.workflows.calibrating import (
    CalibrationRun,
    CalibrationTask,
    bound_space,
    check_budget,
    measurable_profile,
)
from nas.workflows.known_devices import known_devices
from nas.workflows.population import calibrated_precisions, population
from nas.workspace import Workspace
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor
from predictors.metrics import LatencyMetrics
from search_spaces.errors import NasError, UsageError
from search_spaces.space import IntArray

_HELD_OUT_SEED: Final = 1_000_003
_MIN_HELD_OUT: Final = 5
_BATCH: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBenchmarkRow:
    """One predictor against the held-out measurements."""

    space: str
    device: str
    variant: str
    """``calibrated``, or ``without sources``: fitted to the same samples alone."""
    samples: int
    """The budget; ``samples_used`` of them could be measured."""
    samples_used: int
    seed: int
    sources: tuple[str, ...]
    form: str
    metrics: LatencyMetrics
    expected_mape_pct: float
    repeatability_pct: float
    seconds: float
    """For choosing, fitting and predicting, without measuring."""

    def as_json(self) -> dict[str, object]:
        """One flat JSON object, with the names of ``hwnas bench calibration``."""
        metrics = self.metrics.as_json()
        return {
            "space": self.space,
            "target": self.device,
            "variant": self.variant,
            "samples": self.samples,
            "seed": self.seed,
            **{name: value for name, value in metrics.items() if name != "n"},
            "seconds": self.seconds,
            "samples_used": self.samples_used,
            "sources": list(self.sources),
            "held_out_rows": metrics["n"],
            "form": self.form,
            "expected_mape_pct": self.expected_mape_pct,
            "repeatability_pct": self.repeatability_pct,
        }


def benchmark_device(
    workspace: Workspace, device: str, task: CalibrationTask, held_out: int, progress: Progress
) -> list[DeviceBenchmarkRow]:
    """Measures held-out networks, calibrates on others alone, and compares.

    Held-out networks are drawn at random from those that a calibration chooses from, the same ones for the
    same seed. Earlier measurements of chosen networks are reused; others do not join the fit. No revision
    is stored.

    Raises:
        UsageError: for what :func:`nas.workflows.calibrating.calibrate_device` refuses, or too few held out.
        NasError: if too many held-out networks cannot be measured.
    """
    profile = measurable_profile(workspace, device)
    space = bound_space(workspace, task)
    pool = population(space, task.seed, calibrated_precisions(space, profile, task.precisions))
    if not _MIN_HELD_OUT <= held_out <= len(pool) // 2:
        raise UsageError(f"{held_out} networks held out; give from {_MIN_HELD_OUT} to {len(pool) // 2}.")
    learn, test = _split(pool, held_out, task.seed)
    check_budget(task.budget, len(learn))
    context = DeviceContext(workspace=workspace, space=space, profile=profile, progress=progress)
    known = known_devices(context, task.sources)
    with random_weight_measurer(context) as measurer:
        find_drift(context, context.measurements().samples(), measurer.latencies_ms)
        earlier = context.measurements().samples()
        asked = CalibrationRun(context, earlier, measurer)
        name = f"held-out networks on {profile.id}"
        batches = np.array_split(test, -(-len(test) // _BATCH))
        truth = np.concatenate(
            [asked.values_of(batch, lambda done: progress.update(name, done, held_out)) for batch in batches]
        )
        run = CalibrationRun(context, earlier, measurer)
        found = run.calibrate(learn, task, known, alone=True)
    measured = np.isfinite(truth)
    if measured.sum() < _MIN_HELD_OUT:
        raise NasError(f"only {int(measured.sum())} of {held_out} held-out networks could be measured on {profile.id}.")
    rows = []
    models = [device.model for device in known.devices]
    for variant, sources in (("calibrated", models), ("without sources", [])):
        if variant == "without sources" and not models:
            continue
        started_s = time.perf_counter()
        predictor = LatencyPredictor.fit_with(
            FeatureExtractor(space, sources, space.canonicalize(learn)),
            found.genotypes,
            found.latency_ms,
            seed=task.seed,
            repeatability=found.predictor.repeatability,
        )
        prediction = predictor.predict(test[measured])
        rows.append(
            DeviceBenchmarkRow(
                space=space.name,
                device=profile.id,
                variant=variant,
                samples=task.budget,
                samples_used=len(found.latency_ms),
                seed=task.seed,
                sources=tuple(device.name for device in known.devices) if sources else (),
                form=predictor.choice.form,
                metrics=LatencyMetrics.of(truth[measured], prediction),
                expected_mape_pct=predictor.expected_mape_pct,
                repeatability_pct=predictor.repeatability * 100,
                seconds=time.perf_counter() - started_s,
            )
        )
    return rows


def _split(pool: IntArray, held_out: int, seed: int) -> tuple[IntArray, IntArray]:
    """Networks to learn from and networks held out, at random; the same ones for the same seed."""
    order = np.random.default_rng(_HELD_OUT_SEED + seed).permutation(len(pool))
    return pool[np.sort(order[held_out:])], pool[np.sort(order[:held_out])]
