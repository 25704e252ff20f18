"""The bench interface: compiles, checks and times networks on one device, and returns raw results.

There are two: :class:`hw_profiles.local_bench.LocalBench` on this machine, and
:class:`nas.measuring.agent_bench.AgentBench` for a device that an agent serves. What is made of
raw samples (:mod:`hw_profiles.measuring`) is the same for both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, cast, get_args

from hw_profiles.agreement import Agreement
from hw_profiles.compiling import CompileOutcome
from hw_profiles.conditions import Conditions
from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import Stage
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile

_MOST_ROUNDS: Final = 1000
_MOST_CALLS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledNetwork:
    """A network with its artifact."""

    files: NetworkFiles
    artifact: Path
    """On the machine that asks, whichever machine runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFailure:
    """Why a network could not be checked or timed."""

    stage: Stage
    message: str

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "BenchFailure":
        """Inverse of :meth:`as_json`.

        Raises:
            MeasuringError: if it is none.
        """
        stage, message = row.get("stage"), row.get("message")
        if stage not in get_args(Stage) or not isinstance(message, str):
            raise MeasuringError("a reported failure has no known stage or no message.")
        return cls(stage=cast("Stage", stage), message=message[:2000])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """One attempt at timing: milliseconds of single calls, ``[round][call]``, networks interleaved."""

    candidate_ms: tuple[tuple[float, ...], ...]
    anchor_ms: tuple[tuple[float, ...], ...]
    """Empty if the network was timed alone."""
    busy: tuple[float, ...]
    """Share of each round for which the worker had a core."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Rounds":
        """Inverse of ``asdict``.

        Raises:
            MeasuringError: if rounds differ in number, or something is no positive finite number.
        """
        try:
            candidate = tuple(_numbers(calls) for calls in row["candidate_ms"])
            anchor = tuple(_numbers(calls) for calls in row["anchor_ms"])
            busy = _numbers(row["busy"])
        except (KeyError, TypeError, ValueError) as error:
            raise MeasuringError("reported samples are not lists of numbers.") from error
        if not 1 <= len(busy) <= _MOST_ROUNDS or len(candidate) != len(busy) or len(anchor) not in (0, len(busy)):
            raise MeasuringError(
                f"reported samples have {len(candidate)} and {len(anchor)} rounds and {len(busy)} shares."
            )
        for calls in (*candidate, *anchor):
            if not 1 <= len(calls) <= _MOST_CALLS or not all(math.isfinite(call) and call > 0 for call in calls):
                raise MeasuringError("a reported round has no calls, or one that is not a positive finite time.")
        if not all(math.isfinite(share) for share in busy):
            raise MeasuringError("a reported share of processor time is not finite.")
        return cls(candidate_ms=candidate, anchor_ms=anchor, busy=busy)


def _numbers(row: Sequence[Any]) -> tuple[float, ...]:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in row):
        raise TypeError("not a number")
    return tuple(float(value) for value in row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Results of checking and timing one network on a bench."""

    attempts: tuple[Rounds, ...]
    """At least one. The last one passed its quality check, unless as many were taken as the settings allow."""
    agreement: Agreement
    load_time_ms: float | None
    """See :mod:`hw_profiles.footprint`; None where a busy machine gave no time to measure it."""
    peak_memory_bytes: int | None
    conditions: Conditions | None = None
    """While it was timed; None from a bench that does not watch them."""

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Timing":
        """Inverse of :meth:`as_json`.

        Raises:
            MeasuringError: if it is none.
        """
        try:
            attempts = tuple(Rounds.from_json(rounds) for rounds in row["attempts"])
            agreement = agreement_from_json(row["agreement"])
            load_ms, peak = row["load_time_ms"], row["peak_memory_bytes"]
            load_time_ms = None if load_ms is None else float(load_ms)
            peak_memory_bytes = None if peak is None else int(peak)
            conditions = None if row.get("conditions") is None else Conditions.from_json(row["conditions"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MeasuringError("a reported timing lacks a field, or has one of another type.") from error
        if not attempts or (load_time_ms is not None and not (math.isfinite(load_time_ms) and load_time_ms >= 0)):
            raise MeasuringError("a reported timing has no attempts, or an impossible load time.")
        return cls(
            attempts=attempts,
            agreement=agreement,
            load_time_ms=load_time_ms,
            peak_memory_bytes=peak_memory_bytes,
            conditions=conditions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The class that an artifact gives to each image: the index of its largest output."""

    values: tuple[int, ...]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Classes":
        """Inverse of ``asdict``.

        Raises:
            MeasuringError: if it is none.
        """
        values = row.get("values")
        if not isinstance(values, list | tuple) or not all(type(value) is int and value >= 0 for value in values):
            raise MeasuringError("reported classes are not a list of indices.")
        return cls(values=tuple(values))


def agreement_from_json(row: Mapping[str, Any]) -> Agreement:
    """Inverse of ``asdict``.

    Raises:
        MeasuringError: if it is none.
    """
    try:
        found = Agreement(max_abs_error=float(row["max_abs_error"]), top1_agreement=float(row["top1_agreement"]))
    except (KeyError, TypeError, ValueError) as error:
        raise MeasuringError("a reported agreement lacks a figure.") from error
    if not (math.isfinite(found.max_abs_error) and 0 <= found.top1_agreement <= 1):
        raise MeasuringError("a reported agreement has an impossible figure.")
    return found


class Bench(Protocol):
    """Works on networks for one profile, one at a time; a context manager.

    What a network does wrong is a value. Errors are those of the bench itself:
    :class:`MeasuringError` where no worker starts, the disk fails, or the device is gone or changed.
    """

    @property
    def profile(self) -> DeviceProfile:
        """The profile that networks are compiled for."""
        ...

    @property
    def settings(self) -> MeasuringSettings:
        """How it measures."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def compile(
        self, batch: Sequence[NetworkFiles], on_done: Callable[[int], None] = lambda _done: None
    ) -> list[CompileOutcome]:
        """The artifact of each network, compiled anew, or why there is none; ``on_done`` with the number done."""
        ...

    def check(self, network: CompiledNetwork) -> Agreement | BenchFailure:
        """Checks that the artifact computes the same outputs as its network."""
        ...

    def classify(self, networks: Sequence[CompiledNetwork], images: Path) -> list[Classes | BenchFailure]:
        """The class that each artifact predicts for images, float32 ``(n, C, H, W)`` in an npy file."""
        ...

    def time(
        self, network: CompiledNetwork, anchor: CompiledNetwork | None = None, *, fresh: bool = False
    ) -> Timing | BenchFailure:
        """Checks and times a network, interleaved with an anchor if one is given.

        A ``fresh`` process has other memory addresses and caches.
        """
        ...
