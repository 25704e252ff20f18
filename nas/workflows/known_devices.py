"""Models of the known devices of a space, from recorded tables or local measurements."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from nas.measuring.context import DeviceContext
from nas.measuring.device_measurements import DeviceMeasurements
from nas.recorded_tables import RecordedTables
from predictors.errors import RevisionError, UnfitDataError
from predictors.features import schema_hash
from predictors.latency import LatencyPredictor, load_source
from predictors.revision import data_hash
from predictors.samples import MIN_SAMPLES
from predictors.sources import MIN_ROWS, SourceFeatures, SourceModel
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.facts import FloatArray
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace

_SEED: Final = 0
Origin = Literal["recorded", "measured here"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownDevice:
    """A device whose latencies inform the prediction of another's."""

    name: str
    origin: Origin
    samples: int
    model: LatencyPredictor | SourceModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownDevices:
    """The devices that can be used, and why others cannot be."""

    devices: tuple[KnownDevice, ...]
    left_out: tuple[str, ...]
    """One sentence each."""


class _Samples(NamedTuple):
    origin: Origin
    genotypes: IntArray
    latency_ms: FloatArray


def known_devices(
    context: DeviceContext, wanted: Sequence[str] | None, *, before: datetime | None = None
) -> KnownDevices:
    """Fitted models of the wanted devices, or of all that are known in the space; never of the target itself.

    Recorded tables describe the task that a space was published with: for another one they are left out.
    Models are kept in the cache by what they were fitted to. With ``before``, only what was measured or
    imported before that time counts.

    Raises:
        UnknownNameError: if a wanted device is not known in the space.
        UsageError: if the target itself is wanted, or a wanted device has too few or unusable measurements.
    """
    workspace, space, target = context.workspace, context.space, context.profile.id
    known, left_out = _known_samples(context, before)
    if wanted is not None:
        if target in wanted:
            raise UsageError(f"{target} cannot be a source of its own calibration; leave it out of the sources.")
        for name in wanted:
            if name not in known:
                raise UnknownNameError(f"device with measurements of {space.name}", name, tuple(known))
        known, left_out = {name: known[name] for name in dict.fromkeys(wanted)}, []
    features = SourceFeatures(space)
    devices: list[KnownDevice] = []
    for number, (name, samples) in enumerate(known.items(), start=1):
        try:
            if len(samples.latency_ms) < MIN_SAMPLES:
                raise UnfitDataError(f"{len(samples.latency_ms)} measurements are too few; {MIN_SAMPLES} are needed.")
            model = _fitted(workspace.home.cache / "sources", space, samples, features)
        except UnfitDataError as error:
            if wanted is not None:
                raise UsageError(f"source {name!r}: {error}") from error
            left_out.append(f"source {name!r} left out: {error}")
            continue
        devices.append(KnownDevice(name=name, origin=samples.origin, samples=len(samples.latency_ms), model=model))
        context.progress.update("fitting known devices", number, len(known))
    return KnownDevices(devices=tuple(devices), left_out=tuple(left_out))


def _known_samples(context: DeviceContext, before: datetime | None) -> tuple[dict[str, _Samples], list[str]]:
    """Measurements by device; a device that is both recorded and measured here uses what was measured here."""
    workspace, space, target = context.workspace, context.space, context.profile.id
    known: dict[str, _Samples] = {}
    left_out: list[str] = []
    table = RecordedTables(workspace.home).of_space(space.name, before=before)
    if table is not None and space.task != get_space(space.name).task:
        left_out.append(
            f"recorded tables of {space.name} left out: they are of the images and classes that the space was"
            " published with, and these are others."
        )
    elif table is not None:
        genotypes = table.genotypes(space)
        for name, column in table.latency_ms.items():
            measured = np.flatnonzero(np.isfinite(column))
            if name == target:
                left_out.append(f"recorded device {name!r} left out: it has the name of the device to calibrate.")
            else:
                known[name] = _Samples("recorded", genotypes[measured], column[measured])
    for device in workspace.store.devices.all():
        if device.profile.id != target:
            own = DeviceMeasurements(workspace.store, device.profile, space, before=before).samples()
            if len(own):
                known[device.profile.id] = _Samples("measured here", own.genotypes, own.latency_ms)
    return known, left_out


def _fitted(
    cache: Path, space: SearchSpace, samples: _Samples, features: SourceFeatures
) -> LatencyPredictor | SourceModel:
    """The model of a device's samples; fitted unless it is in the cache."""
    meaning = (version("hwnas"), schema_hash(space), data_hash(samples.genotypes, samples.latency_ms))
    folder = cache / hashlib.sha256("\n".join(meaning).encode()).hexdigest()
    try:
        return load_source(folder, space, features)
    except RevisionError:
        shutil.rmtree(folder, ignore_errors=True)
    model: LatencyPredictor | SourceModel
    if len(samples.latency_ms) >= MIN_ROWS:
        model = SourceModel.fit(space, samples.genotypes, samples.latency_ms, seed=_SEED, features=features)
    else:
        model = LatencyPredictor.fit(space, samples.genotypes, samples.latency_ms, seed=_SEED)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".new-") as scratch:
        model.save(Path(scratch) / "model")
        if not folder.exists():
            (Path(scratch) / "model").rename(folder)
    return model
