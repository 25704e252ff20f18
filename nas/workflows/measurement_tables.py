"""Import and export of measurement tables: recorded elsewhere and measured here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw_profiles.measurement_table import MeasurementTable
from nas.home import write_bytes
from nas.measuring.device_measurements import DeviceMeasurements
from nas.recorded_tables import RecordedTables
from nas.workspace import Workspace
from predictors.benchmark_tables import join_rows
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.facts import FloatArray
from search_spaces.registry import canonical_name, get_space, space_names


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMeasurements:
    """The number of measurements of one device or task in one space."""

    space: str
    kind: str
    """``latency`` or ``accuracy``."""
    name: str
    """The device or the task."""
    rows: int
    origin: str
    """The first digits of a table's id, or ``here``."""
    file_name: str | None
    """Of the imported file."""


def list_measurements(workspace: Workspace) -> list[KnownMeasurements]:
    """Every column of the imported tables, then what was measured on devices here."""
    found = [
        KnownMeasurements(
            space=recorded.space,
            kind=kind,
            name=name,
            rows=int(np.isfinite(column).sum()),
            origin=recorded.id[:12],
            file_name=recorded.file_name,
        )
        for recorded in RecordedTables(workspace.home).all()
        for kind, columns in (("latency", recorded.table.latency_ms), ("accuracy", recorded.table.accuracy))
        for name, column in columns.items()
    ]
    for space in space_names():
        own = own_measurements(workspace, space)
        found.extend(
            KnownMeasurements(
                space=space,
                kind="latency",
                name=name,
                rows=int(np.isfinite(column).sum()),
                origin="here",
                file_name=None,
            )
            for name, column in (own.latency_ms.items() if own is not None else ())
        )
    return found


def own_measurements(workspace: Workspace, space: str) -> MeasurementTable | None:
    """Local measurements of a space (canonical name), for its published images and classes."""
    bound = get_space(space)
    row_of: dict[str, int] = {}
    measured: dict[str, dict[int, float]] = {}
    for device in workspace.store.devices.all():
        samples = DeviceMeasurements(workspace.store, device.profile, bound).samples()
        rows = [row_of.setdefault(text, len(row_of)) for text in bound.to_strings(samples.genotypes)]
        if rows:
            measured[device.profile.id] = dict(zip(rows, samples.latency_ms.tolist(), strict=True))
    if not measured:
        return None
    columns: dict[str, FloatArray] = {
        name: np.array([values.get(row, np.nan) for row in range(len(row_of))]) for name, values in measured.items()
    }
    return MeasurementTable(space=space, archs=tuple(row_of), latency_ms=columns, accuracy={})


def all_measurements(workspace: Workspace, space: str) -> MeasurementTable:
    """All that is known of a space as one table: recorded, and measured here.

    A device that is measured here and recorded under the same name has its own measurements.

    Raises:
        UsageError: if nothing is known of the space.
        UnknownNameError: for an unknown space.
    """
    space = canonical_name(space)
    recorded, own = RecordedTables(workspace.home).of_space(space), own_measurements(workspace, space)
    if recorded is None:
        if own is None:
            raise UsageError(
                f"there are no measurements of {space}; take some with `hwnas calibrate`,"
                " or import recorded ones with `hwnas measurements import`."
            )
        return own
    if own is None:
        return recorded
    kept = {name: column for name, column in recorded.latency_ms.items() if name not in own.latency_ms}
    others = MeasurementTable(space=recorded.space, archs=recorded.archs, latency_ms=kept, accuracy=recorded.accuracy)
    return join_rows([others, own])


def export_measurements(workspace: Workspace, space: str, path: Path, devices: Sequence[str] = ()) -> MeasurementTable:
    """Writes what is known of a space, or of some devices in it, as a table; never a partial file.

    Raises:
        UsageError: if nothing is known, or the file's name does not end in .csv or .csv.gz.
        UnknownNameError: for an unknown space or device.
    """
    if not path.name.endswith((".csv", ".csv.gz")):
        raise UsageError(f"{path} is not the name of a measurement table; it must end in .csv or .csv.gz.")
    table = all_measurements(workspace, space)
    if devices:
        table = _of_devices(table, devices)
    write_bytes(path, table.to_bytes(compressed=path.suffix == ".gz"))
    return table


def _of_devices(table: MeasurementTable, devices: Sequence[str]) -> MeasurementTable:
    for name in devices:
        if name not in table.latency_ms:
            raise UnknownNameError("device", name, tuple(table.latency_ms))
    rows = np.flatnonzero(np.any([np.isfinite(table.latency_ms[name]) for name in devices], axis=0))
    return MeasurementTable(
        space=table.space,
        archs=tuple(table.archs[row] for row in rows),
        latency_ms={name: table.latency_ms[name][rows] for name in dict.fromkeys(devices)},
        accuracy={},
    )
