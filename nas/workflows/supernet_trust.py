"""Confidence in the accuracies of a trained supernet's networks: intervals and benchmark results."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.data.sources import flips_by_default
from nas.home import write_bytes
from nas.store.supernets import StoredSupernet
from nas.training.record import SupernetRecord, read_record
from nas.training.settings import TrainingSettings
from nas.workspace import Workspace
from predictors.reading_noise import interval_90

BENCHMARK_FILE: Final = "benchmark.json"
"""In a supernet's folder: what ``hwnas bench supernet`` found of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyWithInterval:
    """A validation accuracy (a fraction) with its binomial 90 % interval."""

    network: str
    """``smallest``, ``middle`` or ``largest``."""
    accuracy: float
    interval_90: tuple[float, float] | None
    """None where the number of images was not recorded."""

    def as_json(self) -> dict[str, object]:
        """One JSON object."""
        return {"accuracy": self.accuracy, "interval_90": self.interval_90}


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedAgainstAlone:
    """Sampled networks with inherited weights against the same networks trained alone; gaps are fractions."""

    networks: int
    images_test: int
    mean_gap: float
    worst_gap: float
    kendall_tau: float | None
    kendall_tau_interval_90: tuple[float | None, float | None]

    def as_json(self) -> dict[str, object]:
        """One JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def sentence(self) -> str:
        """In points of test accuracy."""
        if self.kendall_tau is None:
            ranking = "Kendall tau is not defined"
        else:
            low, high = (f"{v:.2f}" if v is not None else "?" for v in self.kendall_tau_interval_90)
            ranking = f"Kendall tau {self.kendall_tau:.2f} (90 % interval {low} to {high})"
        return (
            f"Inherited against trained alone: {self.mean_gap * 100:.1f} points lower on average,"
            f" {self.worst_gap * 100:.1f} at worst, {ranking}, of {self.networks} networks on"
            f" {self.images_test:,} test images."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetTrust:
    """Accuracies of a trained supernet, and benchmark results if there are any."""

    images_val: int | None
    readings: tuple[AccuracyWithInterval, ...]
    alone: InheritedAgainstAlone | None
    """None where it was not measured for this supernet."""
    benchmark_command: str
    """Measures it."""

    def as_json(self) -> dict[str, object]:
        """Part of the document that ``hwnas train --json`` prints."""
        return {
            "images_val": self.images_val,
            "networks": {reading.network: reading.as_json() for reading in self.readings},
            "inherited_against_alone": None if self.alone is None else self.alone.as_json(),
            "benchmark_command": self.benchmark_command,
        }

    @property
    def lines(self) -> list[str]:
        """For a terminal."""
        shown = []
        for reading in self.readings:
            text = f"{reading.network} {reading.accuracy:.1%}"
            if reading.interval_90 is not None:
                text += f" ({reading.interval_90[0]:.1%} to {reading.interval_90[1]:.1%})"
            shown.append(text)
        counted = f" (90 % intervals of {self.images_val:,} images)" if self.images_val is not None else ""
        return [
            f"Validation accuracy with inherited weights{counted}: {', '.join(shown)}.",
            self.alone.sentence
            if self.alone is not None
            else "The gap to the same networks trained alone has not been measured for this supernet;"
            f" to measure it, run {self.benchmark_command}",
        ]


def supernet_trust(workspace: Workspace, supernet: StoredSupernet) -> SupernetTrust:
    """Accuracies of a trained supernet, and benchmark results if there are any.

    Raises:
        SupernetError: if the supernet's folder is damaged.
    """
    folder = workspace.supernet_folder(supernet)
    record = read_record(folder)
    values = {
        "smallest": record.accuracy_smallest,
        "middle": record.accuracy_middle,
        "largest": record.accuracy_largest,
    }
    images = record.images_val
    return SupernetTrust(
        images_val=images,
        readings=tuple(
            AccuracyWithInterval(
                network=name, accuracy=value, interval_90=None if images is None else interval_90(value, images)
            )
            for name, value in values.items()
            if value is not None
        ),
        alone=_read_benchmark(folder, supernet.id),
        benchmark_command=_command(workspace.data_spec(supernet), record),
    )


def write_benchmark(folder: Path, document: dict[str, Any]) -> None:
    """Keeps what ``hwnas bench supernet`` found beside the supernet.

    Raises:
        DiskFullError: if the disk has no space.
    """
    write_bytes(folder / BENCHMARK_FILE, (json.dumps(document, indent=1) + "\n").encode())


def _read_benchmark(folder: Path, supernet_id: str) -> InheritedAgainstAlone | None:
    """None where there is none, or it is of other weights or not readable: then it is measured again."""
    try:
        found = json.loads((folder / BENCHMARK_FILE).read_text("utf-8"))
        if found["supernet"] != supernet_id:
            return None
        low, high = found["kendall_tau_interval_90"]
        return InheritedAgainstAlone(
            networks=sum(1 for one in found["networks"] if one["sampled"]),
            images_test=int(found["images_test"]),
            mean_gap=float(found["gap_test"]),
            worst_gap=float(found["worst_gap_test"]),
            kendall_tau=found["kendall_tau"],
            kendall_tau_interval_90=(low, high),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _command(data: str, record: SupernetRecord) -> str:
    """The ``hwnas bench supernet`` whose supernet is this one."""
    settings = record.settings
    plain = TrainingSettings.with_defaults(
        {"optimizer": settings.optimizer, "epochs": settings.epochs, "flip": flips_by_default(data)}
    ).identity()
    words = ["hwnas", "bench", "supernet", "--data", data, "--space", record.space, "--epochs", str(settings.epochs)]
    words += ["--optimizer", settings.optimizer]
    for name, value in settings.identity().items():
        if value == plain.get(name):
            continue
        if name == "flip":
            words.append("--flip" if value else "--no-flip")
        elif name in {"seed", "learning_rate"}:
            words += [f"--{name.replace('_', '-')}", str(value)]
        else:
            words += ["--setting", f"{name}={value}"]
    return shlex.join(words)
