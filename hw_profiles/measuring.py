"""Measuring candidates on a bench, alternating with an anchor: from raw samples to measurements.

Nothing that a candidate does ends the session: compile errors, wrong outputs, crashes and
hangs come back as :class:`MeasurementFailure`. It is the same on every bench.
"""

import hashlib
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw_profiles.bench import Bench, BenchFailure, CompiledNetwork, Timing
from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import FloatArray
from hw_profiles.profile import DeviceProfile
from hw_profiles.reading import Reading, chosen_reading


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """What is needed to time a measured candidate again."""

    network: CompiledNetwork
    p50_ms: float


class MeasuringSession:
    """Measures candidates one after the other on a bench, which the caller opens and closes.

    ``anchor_reference_ms`` makes sessions comparable: the first session under a profile
    measures it, and the ones after it are given that value.
    """

    def __init__(
        self,
        bench: Bench,
        anchor: NetworkFiles,
        *,
        anchor_reference_ms: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bench = bench
        self._settings = bench.settings
        self._now = now
        self._anchor = CompiledNetwork(files=anchor, artifact=Path())
        self._anchor_identity: tuple[int, int, int] | None = None
        self._anchor_reference_ms = anchor_reference_ms
        self._squared_differences: list[float] = []
        self._measured = 0
        self._to_recheck: _Timed | None = None

    @property
    def profile(self) -> DeviceProfile:
        """What is measured for."""
        return self._bench.profile

    @property
    def anchor_reference_ms(self) -> float:
        """The anchor's latency that all readings are scaled to; store it for later sessions.

        Raises:
            MeasuringError: if the session was not started.
        """
        if self._anchor_reference_ms is None:
            raise MeasuringError("the anchor is measured when the session starts; start it first.")
        return self._anchor_reference_ms

    @property
    def repeatability(self) -> float:
        """Relative standard deviation of one ``latency_p50_ms``, from re-measurements in fresh workers."""
        prior = 4
        total = sum(self._squared_differences) / 2 + prior * self._settings.prior_repeatability**2
        return math.sqrt(total / (len(self._squared_differences) + prior))

    @property
    def anchor_is_whole(self) -> bool:
        """Whether the anchor's artifact is still the file that was compiled on starting."""
        return self._anchor_identity is not None and _identity(self._anchor.artifact) == self._anchor_identity

    def start(self) -> None:
        """Compiles and checks the anchor, and times it where no reference was given.

        Raises:
            MeasuringError: if the bench does not work or the anchor fails.
        """
        # Compiled anew each time, so that nothing that lies in the folder is trusted.
        (artifact,) = self._bench.compile([self._anchor.files])
        if isinstance(artifact, MeasurementFailure):
            raise self._anchor_error(BenchFailure(stage=artifact.stage, message=artifact.message))
        self._anchor = CompiledNetwork(files=self._anchor.files, artifact=artifact)
        self._anchor_identity = _identity(artifact)
        found: object
        if self._anchor_reference_ms is None:
            found = self._bench.time(self._anchor)
            if isinstance(found, Timing):
                self._anchor_reference_ms = self._anchor_ms(found)
        else:
            found = self._bench.check(self._anchor)
        if isinstance(found, BenchFailure):
            raise self._anchor_error(found)

    def measure(self, files: NetworkFiles, artifact: Path | None = None) -> Measurement | MeasurementFailure:
        """Compiles (unless given its ``artifact``), checks and times one candidate.

        Raises:
            MeasuringError: if the bench does not work any more.
        """
        self._recheck_when_due()
        compile_s = 0.0
        if artifact is None:
            start_s = time.perf_counter()
            (compiled,) = self._bench.compile([files])
            if isinstance(compiled, MeasurementFailure):
                return compiled
            artifact, compile_s = compiled, time.perf_counter() - start_s
        network = CompiledNetwork(files=files, artifact=artifact)
        timing = self._bench.time(network, self._anchor)
        if isinstance(timing, BenchFailure):
            return self._failure(files, timing)
        reading, quality = chosen_reading(timing, self.anchor_reference_ms, self._settings)
        self._measured += 1
        # Noisy ones as well: on a busy machine they are what its measurements are like.
        self._to_recheck = _Timed(network=network, p50_ms=reading.p50_ms)
        content = artifact.read_bytes()
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
            attempts=len(timing.attempts),
            artifact=artifact,
            artifact_sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            max_abs_error=timing.agreement.max_abs_error,
            top1_agreement=timing.agreement.top1_agreement,
            load_time_ms=timing.load_time_ms,
            peak_memory_bytes=timing.peak_memory_bytes,
            compile_s=compile_s,
            measured_at=self._now().isoformat(timespec="seconds"),
        )

    def classify(
        self, networks: Sequence[CompiledNetwork], batches: Iterable[FloatArray]
    ) -> list[NDArray[np.int64] | MeasurementFailure]:
        """The class that each artifact gives to each image: the index of its largest output, int64 ``(n,)``.

        Args:
            networks: with artifacts that run on the bench.
            batches: images, float32 ``(k, C, H, W)``.

        Raises:
            MeasuringError: if the bench does not work any more.
        """
        found: list[list[int]] = [[] for _ in networks]
        failures: dict[int, MeasurementFailure] = {}
        with tempfile.TemporaryDirectory() as folder:
            for number, batch in enumerate(batches):
                images = Path(folder) / f"{number}.npy"
                np.save(images, batch)
                whole = [place for place in range(len(networks)) if place not in failures]
                replies = self._bench.classify([networks[place] for place in whole], images)
                images.unlink()
                for place, classes in zip(whole, replies, strict=True):
                    if isinstance(classes, BenchFailure):
                        failures[place] = self._failure(networks[place].files, classes)
                        continue
                    if len(classes.values) != len(batch):
                        raise MeasuringError(
                            f"{self.profile.id} classified {len(classes.values)} of {len(batch)} images."
                        )
                    found[place] += classes.values
        return [
            failures[place] if place in failures else np.array(classes, dtype=np.int64)
            for place, classes in enumerate(found)
        ]

    def _failure(self, files: NetworkFiles, failure: BenchFailure) -> MeasurementFailure:
        return MeasurementFailure(
            candidate_id=files.name,
            profile_id=self.profile.id,
            fingerprint=self.profile.fingerprint,
            stage=failure.stage,
            message=failure.message,
            measured_at=self._now().isoformat(timespec="seconds"),
        )

    def _anchor_ms(self, timing: Timing) -> float:
        """The anchor's latency on a quiet machine; the lowest of several readings where it never is."""
        readings = [Reading.from_rounds(rounds, 1.0, self._settings) for rounds in timing.attempts]
        quiet = [reading.p50_ms for reading in readings if reading.passes(self._settings)]
        return quiet[0] if quiet else min(reading.p50_ms for reading in readings)

    def _anchor_error(self, failure: BenchFailure) -> MeasuringError:
        return MeasuringError(
            f"the anchor network {self._anchor.files.name} fails on {self.profile.id} ({failure.stage}):"
            f" {failure.message}"
        )

    def _recheck_when_due(self) -> None:
        """Times an earlier candidate in a fresh worker, which has other memory addresses and caches."""
        earlier, every = self._to_recheck, self._settings.recheck_every
        if earlier is None or every < 1 or self._measured < every:
            return
        self._measured, self._to_recheck = 0, None
        timing = self._bench.time(earlier.network, self._anchor, fresh=True)
        if isinstance(timing, BenchFailure):
            return  # the next candidate is not to blame, and the estimate stays as it was
        reading, _ = chosen_reading(timing, self.anchor_reference_ms, self._settings)
        self._squared_differences.append(math.log(reading.p50_ms / earlier.p50_ms) ** 2)


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from another one, or from itself before it was written to; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns)
