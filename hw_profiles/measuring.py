"""Measuring candidates under one profile: compile, check, time, with an anchor beside each.

Nothing that a candidate does ends the session: compile errors, wrong outputs, crashes and
hangs come back as :class:`MeasurementFailure`.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_profiles.environment import ENVIRONMENT
from hw_profiles.errors import MeasuringError, WorkerLostError
from hw_profiles.measurement import Measurement, MeasurementFailure, Quality, Stage
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import FloatArray
from hw_profiles.profile import DeviceProfile
from hw_profiles.reading import Reading, relative_iqr
from hw_profiles.worker_process import WorkerProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringSettings:
    """How long and how strictly to measure.

    A reading takes about 0.4 s beside the compilation, and up to ``max_attempts`` are taken where the machine is busy.
    """

    rounds: int = 8
    round_ms: float = 20.0
    """Time that one round's calls of one network fill, within the limits below."""
    min_calls: int = 12
    max_calls: int = 100
    warmup_ms: float = 20.0
    min_busy: float = 0.97
    """Share of a round for which the worker must have had a core, or the round is left out."""
    max_spread: float = 0.02
    """Largest spread of a candidate's corrected medians in a reading that counts as ok."""
    max_anchor_spread: float = 0.10
    """Largest movement of the machine itself that a correction is trusted with."""
    max_attempts: int = 3
    """Readings of one candidate until one is ok."""
    recheck_every: int = 8
    """Candidates between re-measurements of an earlier one in a fresh worker; 0 does none."""
    prior_repeatability: float = 0.025
    """Assumed before any re-measurement, and worth four of them; where it is from: see ``reading``."""
    start_deadline_s: float = 120.0
    compile_deadline_s: float = 120.0
    check_deadline_s: float = 60.0
    classify_deadline_s: float = 300.0
    """For one batch of images."""
    time_deadline_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """What must be known of a measured candidate to time it again."""

    files: NetworkFiles
    artifact: Path
    p50_ms: float


class _Failed(Exception):  # noqa: N818 - control flow inside the session, never seen outside
    def __init__(self, stage: Stage, message: str) -> None:
        self.stage: Stage = stage
        self.message = message
        super().__init__(message)


class MeasuringSession:
    """Measures candidates one after the other; a context manager that owns its worker.

    ``anchor_reference_ms`` makes sessions comparable: the first session under a profile
    measures it, and the ones after it are given that value.

    Raises:
        MeasuringError: on entering, where the worker does not start or the anchor fails.
    """

    def __init__(
        self,
        *,
        profile: DeviceProfile,
        anchor: NetworkFiles,
        folder: Path,
        settings: MeasuringSettings | None = None,
        anchor_reference_ms: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.profile = profile
        self.settings = settings or MeasuringSettings()
        self._anchor = anchor
        self._folder = folder
        self._now = now
        self._anchor_artifact = folder
        self._anchor_identity: tuple[int, int, int] | None = None
        self._anchor_reference_ms = anchor_reference_ms
        self._squared_differences: list[float] = []
        self._measured = 0
        self._to_recheck: _Timed | None = None
        self._worker = WorkerProcess(
            profile,
            folder / f"worker-{profile.runtime}.log",
            start_deadline_s=self.settings.start_deadline_s,
        )

    @property
    def anchor_reference_ms(self) -> float:
        """The anchor's latency that all readings are scaled to; store it for later sessions.

        Raises:
            MeasuringError: where the session was not entered.
        """
        if self._anchor_reference_ms is None:
            raise MeasuringError("the anchor is measured when the session is entered; enter it first.")
        return self._anchor_reference_ms

    @property
    def repeatability(self) -> float:
        """Relative standard deviation of one ``latency_p50_ms``, from re-measurements in fresh workers."""
        prior = 4
        total = sum(self._squared_differences) / 2 + prior * self.settings.prior_repeatability**2
        return math.sqrt(total / (len(self._squared_differences) + prior))

    @property
    def anchor_is_whole(self) -> bool:
        """Whether the anchor's artifact is still the file that was compiled on entering."""
        return self._anchor_identity is not None and _identity(self._anchor_artifact) == self._anchor_identity

    @property
    def worker_pid(self) -> int | None:
        """Process id of the running worker; None where none runs."""
        return self._worker.pid

    def __enter__(self) -> "MeasuringSession":
        try:
            self._worker.start()
            # Compiled anew each time, so that nothing that lies in the folder is trusted.
            self._anchor_artifact, _ = self._compile(self._anchor)
            self._anchor_identity = _identity(self._anchor_artifact)
            self._check(self._anchor, self._anchor_artifact)
            if self._anchor_reference_ms is None:
                self._anchor_reference_ms = self._read_anchor()
        except _Failed as failed:
            self._worker.close()
            raise MeasuringError(
                f"the anchor network {self._anchor.name} fails on {self.profile.id} ({failed.stage}): {failed.message}"
            ) from failed
        except BaseException:
            self._worker.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.close()

    def measure(self, files: NetworkFiles, artifact: Path | None = None) -> Measurement | MeasurementFailure:
        """Compiles (unless given its ``artifact``), checks and times one candidate.

        Raises:
            MeasuringError: where no worker starts any more, or the disk, its permissions or the like are at fault.
        """
        try:
            self._recheck_when_due()
            compiled, compile_s = (artifact, 0.0) if artifact is not None else self._compile(files)
            footprint = self._footprint(files, compiled)
            agreement = self._check(files, compiled)
            reading, attempts, quality = self._read(files, compiled)
        except _Failed as failed:
            return self._failure(files, failed)
        self._measured += 1
        # Noisy ones as well: on a busy machine they are what its measurements are like.
        self._to_recheck = _Timed(files=files, artifact=compiled, p50_ms=reading.p50_ms)
        content = compiled.read_bytes()
        return Measurement(
            candidate_id=files.name,
            profile_id=self.profile.id,
            fingerprint=self.profile.fingerprint,
            latency_p50_ms=reading.p50_ms,
            latency_p95_ms=reading.p95_ms,
            samples_ms=reading.samples_ms,
            rounds=reading.rounds,
            spread=reading.spread,
            anchor_factor=reading.anchor_factor,
            repeatability=self.repeatability,
            quality=quality,
            attempts=attempts,
            artifact=compiled,
            artifact_sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            max_abs_error=agreement["max_abs_error"],
            top1_agreement=agreement["top1_agreement"],
            load_time_ms=footprint["load_time_ms"],
            peak_memory_bytes=footprint["peak_memory_bytes"],
            compile_s=compile_s,
            measured_at=self._now().isoformat(timespec="seconds"),
        )

    def classify(
        self, files: NetworkFiles, artifact: Path, batches: Iterable[FloatArray]
    ) -> NDArray[np.int64] | MeasurementFailure:
        """The class that an artifact gives to each image: the index of its largest output, int64 ``(n,)``.

        Args:
            files: the candidate's.
            artifact: runs in the worker process.
            batches: images, float32 ``(k, C, H, W)``.

        Raises:
            MeasuringError: where no worker starts any more, or the disk, its permissions or the like are at fault.
        """
        found: list[int] = []
        images = self._folder / f"images-{os.getpid()}.npy"
        try:
            for batch in batches:
                np.save(images, batch)
                request = {"command": "classify", "artifact": str(artifact), "images": str(images)}
                found += self._request(request, self.settings.classify_deadline_s)["classes"]
        except _Failed as failed:
            return self._failure(files, failed)
        finally:
            images.unlink(missing_ok=True)
        return np.array(found, dtype=np.int64)

    def _failure(self, files: NetworkFiles, failed: "_Failed") -> MeasurementFailure:
        return MeasurementFailure(
            candidate_id=files.name,
            profile_id=self.profile.id,
            fingerprint=self.profile.fingerprint,
            stage=failed.stage,
            message=failed.message,
            measured_at=self._now().isoformat(timespec="seconds"),
        )

    def _compile(self, files: NetworkFiles) -> tuple[Path, float]:
        request = {"command": "compile", "files": files.as_json(), "folder": str(self._folder)}
        reply = self._request(request, self.settings.compile_deadline_s)
        return Path(reply["artifact"]), float(reply["compile_s"])

    def _footprint(self, files: NetworkFiles, artifact: Path) -> dict[str, Any]:
        """Load time and peak memory; None where a busy machine gave no time to measure them."""
        request = {"command": "footprint", "artifact": str(artifact), "reference": str(files.reference)}
        try:
            return self._request(request, self.settings.check_deadline_s)
        except _Failed as failed:
            if failed.stage != "timeout":
                raise
            return {"load_time_ms": None, "peak_memory_bytes": None}

    def _check(self, files: NetworkFiles, artifact: Path) -> dict[str, Any]:
        request = {"command": "check", "files": files.as_json(), "artifact": str(artifact)}
        return self._request(request, self.settings.check_deadline_s)

    def _time(self, networks: list[tuple[Path, NetworkFiles]]) -> dict[str, Any]:
        settings = self.settings
        request = {
            "command": "time",
            "networks": [(str(artifact), str(files.reference)) for artifact, files in networks],
            "rounds": settings.rounds,
            "round_ms": settings.round_ms,
            "min_calls": settings.min_calls,
            "max_calls": settings.max_calls,
            "warmup_ms": settings.warmup_ms,
        }
        return self._request(request, settings.time_deadline_s)

    def _read(self, files: NetworkFiles, artifact: Path) -> tuple[Reading, int, Quality]:
        readings: list[Reading] = []
        for attempt in range(1, self.settings.max_attempts + 1):
            reply = self._time([(self._anchor_artifact, self._anchor), (artifact, files)])
            reading = Reading.of(
                anchor_ms=reply["samples_ms"][0],
                candidate_ms=reply["samples_ms"][1],
                busy=reply["busy"],
                anchor_reference_ms=self.anchor_reference_ms,
                min_busy=self.settings.min_busy,
            )
            if self._passes(reading):
                return reading, attempt, "ok"
            readings.append(reading)
        best = min(readings, key=lambda reading: reading.spread + reading.anchor_spread)
        return best, len(readings), "noisy"

    def _read_anchor(self) -> float:
        """The anchor's latency on a quiet machine; the lowest of several readings where it never is."""
        medians_ms: list[float] = []
        for _ in range(self.settings.max_attempts):
            reply = self._time([(self._anchor_artifact, self._anchor)])
            rounds = np.array([np.median(calls) for calls in reply["samples_ms"][0]])
            medians_ms.append(float(np.median(rounds)))
            quiet = [share for share in reply["busy"] if share >= self.settings.min_busy]
            if 2 * len(quiet) >= len(rounds) and relative_iqr(rounds) <= self.settings.max_spread:
                return medians_ms[-1]
        return min(medians_ms)

    def _passes(self, reading: Reading) -> bool:
        return (
            2 * reading.quiet_rounds >= reading.rounds
            and reading.spread <= self.settings.max_spread
            and reading.anchor_spread <= self.settings.max_anchor_spread
        )

    def _recheck_when_due(self) -> None:
        """Times an earlier candidate in a fresh worker, which has other memory addresses and caches."""
        earlier, every = self._to_recheck, self.settings.recheck_every
        if earlier is None or every < 1 or self._measured < every:
            return
        self._measured, self._to_recheck = 0, None
        self._worker.close()
        try:
            reading, _, _ = self._read(earlier.files, earlier.artifact)
        except _Failed:
            return  # the next candidate is not to blame, and the estimate stays as it was
        self._squared_differences.append(math.log(reading.p50_ms / earlier.p50_ms) ** 2)

    def _request(self, command: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        try:
            reply = self._worker.request(command, deadline_s=deadline_s)
        except WorkerLostError as error:
            raise _Failed("timeout" if error.timed_out else "crash", str(error)) from error
        if not reply["ok"]:
            if reply["stage"] == ENVIRONMENT:
                raise MeasuringError(f"measuring is impossible here: {reply['message']}")
            raise _Failed(reply["stage"], reply["message"])
        return reply


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from another one, or from itself before it was written to; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns)
