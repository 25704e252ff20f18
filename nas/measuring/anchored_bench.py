"""A bench with its anchor network, which all commands use to measure."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from hw_profiles.bench import Bench, CompiledNetwork
from hw_profiles.compiling import CompileOutcome
from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.measuring import MeasuringSession
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import FloatArray
from nas.store.anchor_references import AnchorReferences

_LOOKED_AT: Final = 5
"""Readings whose median says whether the device runs as when its anchor was first measured."""
_TOLD_CHANGE: Final = 0.15
"""Relative change of the anchor that is more than what moves a machine between two readings."""


class AnchoredBench:
    """Compiles batches, then times networks beside an anchor. A context manager; it closes its bench.

    The anchor's reference latency is kept in the store, so that all sessions of a device use the same clock. Readings
    are corrected to it; that a device has become slower or faster as a whole is said once.
    """

    def __init__(
        self,
        bench: Bench,
        references: AnchorReferences,
        on_compiled: Callable[[int, int], None] = lambda _done, _total: None,
        say: Callable[[str], None] = lambda _message: None,
    ) -> None:
        """``on_compiled`` is called with the number compiled and of all, ``say`` with what a user should know."""
        self._bench = bench
        self._references = references
        self._on_compiled = on_compiled
        self._say = say
        self._factors: deque[float] = deque(maxlen=_LOOKED_AT)
        self._told = False
        self._open = ExitStack()
        self._session: MeasuringSession | None = None

    def __enter__(self) -> Self:
        self._open.enter_context(self._bench)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        self._open.close()

    def compile(self, batch: Sequence[NetworkFiles]) -> list[CompileOutcome]:
        """The artifact of each candidate, or why there is none; ``on_compiled`` is called with (done, total)."""
        return self._bench.compile(batch, lambda done: self._on_compiled(done, len(batch)))

    def open(self, anchor: NetworkFiles) -> None:
        """Starts the measuring session beside this anchor, which must be a stored candidate; twice is harmless.

        Raises:
            MeasuringError: if the bench does not work or the anchor fails.
        """
        if self._session is not None:
            return
        profile = self._bench.profile
        session = self._started(anchor, self._references.find(profile, anchor.name))
        kept_ms = self._references.keep(profile, anchor.name, session.anchor_reference_ms)
        if kept_ms != session.anchor_reference_ms:  # another process measured the anchor at the same time
            session = self._started(anchor, kept_ms)
        self._session = session

    @property
    def is_whole(self) -> bool:
        """Whether the anchor's artifact is still what was compiled when the session started."""
        return self._session is not None and self._session.anchor_is_whole

    def reopen(self, anchor: NetworkFiles) -> None:
        """Starts another session, beside an anchor that is compiled anew; errors as :meth:`open`."""
        self._session = None
        self.open(anchor)

    def measure(self, files: NetworkFiles, artifact: Path) -> Measurement | MeasurementFailure:
        """Checks and times one artifact; :meth:`open` comes first.

        Raises:
            MeasuringError: if the bench does not work any more, or :meth:`open` was not called.
        """
        outcome = self._opened().measure(files, artifact)
        if isinstance(outcome, Measurement):
            self._look_for_change(outcome.anchor_factor)
        return outcome

    def classify(
        self, networks: Sequence[CompiledNetwork], batches: Iterable[FloatArray]
    ) -> list[NDArray[np.int64] | MeasurementFailure]:
        """See :meth:`MeasuringSession.classify`; :meth:`open` comes first.

        Raises:
            MeasuringError: if the bench does not work any more, or :meth:`open` was not called.
        """
        return self._opened().classify(networks, batches)

    def _look_for_change(self, anchor_factor: float) -> None:
        self._factors.append(anchor_factor)
        slowdown = 1.0 / median(self._factors) - 1.0
        if self._told or len(self._factors) < _LOOKED_AT or abs(slowdown) < _TOLD_CHANGE:
            return
        self._told = True
        device, direction = self._bench.profile.id, "slower" if slowdown > 0 else "faster"
        self._say(
            f"{device} has drifted: it is {abs(slowdown):.0%} {direction} than when its anchor was first measured."
            " Latencies are corrected to that time, so that they compare with earlier ones;"
            f" `hwnas devices check {device}` says what disturbs it."
        )

    def _opened(self) -> MeasuringSession:
        if self._session is None:
            raise MeasuringError("the bench has no anchor yet; open it first.")
        return self._session

    def _started(self, anchor: NetworkFiles, reference_ms: float | None) -> MeasuringSession:
        session = MeasuringSession(self._bench, anchor, anchor_reference_ms=reference_ms)
        session.start()
        return session
