"""This machine as a test bench for one device profile."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hw_profiles.compiling import CompileOutcome, CompilePool
from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.measuring import MeasuringSession
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import FloatArray
from hw_profiles.profile import DeviceProfile
from nas.store.anchor_references import AnchorReferences


class LocalBench:
    """Compiles in several workers, times in one. A context manager; workers start when needed.

    The anchor's reference latency is kept in the store, so that all sessions of a device use the same clock.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        folder: Path,
        references: AnchorReferences,
        on_compiled: Callable[[int, int], None] = lambda _done, _total: None,
        on_warning: Callable[[str, str], None] = lambda _name, _message: None,
    ) -> None:
        self._profile = profile
        self._folder = folder
        self._references = references
        self._on_compiled = on_compiled
        self._on_warning = on_warning
        self._open = ExitStack()
        self._compilers: CompilePool | None = None
        self._session: MeasuringSession | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        self._compilers = self._session = None

    def compile(self, batch: Sequence[NetworkFiles]) -> list[CompileOutcome]:
        """The artifact of each candidate, or why there is none; ``on_compiled`` is called with (done, total)."""
        if self._compilers is None:
            pool = CompilePool(self._profile, self._folder, on_warning=self._on_warning)
            self._compilers = self._open.enter_context(pool)
        return self._compilers.compile(batch, lambda done: self._on_compiled(done, len(batch)))

    def open(self, anchor: NetworkFiles) -> None:
        """Starts the measuring session beside this anchor, which must be a stored candidate; twice is harmless.

        Raises:
            MeasuringError: if the worker does not start or the anchor fails.
        """
        if self._session is not None:
            return
        session = self._started(anchor, self._references.find(self._profile, anchor.name))
        kept_ms = self._references.keep(self._profile, anchor.name, session.anchor_reference_ms)
        if kept_ms != session.anchor_reference_ms:  # another process measured the anchor at the same time
            session = self._started(anchor, kept_ms)
        self._session = session

    @property
    def is_whole(self) -> bool:
        """Whether the anchor's artifact is still what was compiled when the session started."""
        return self._session is not None and self._session.anchor_is_whole

    def reopen(self, anchor: NetworkFiles) -> None:
        """Starts another session, beside an anchor that is compiled anew; errors as :meth:`open`."""
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None
        self.open(anchor)

    def measure(self, files: NetworkFiles, artifact: Path) -> Measurement | MeasurementFailure:
        """Checks and times one artifact; :meth:`open` comes first.

        Raises:
            MeasuringError: if no worker starts any more, or :meth:`open` was not called.
        """
        return self._opened().measure(files, artifact)

    def classify(
        self, files: NetworkFiles, artifact: Path, batches: Iterable[FloatArray]
    ) -> NDArray[np.int64] | MeasurementFailure:
        """See :meth:`MeasuringSession.classify`; :meth:`open` comes first.

        Raises:
            MeasuringError: if no worker starts any more, or :meth:`open` was not called.
        """
        return self._opened().classify(files, artifact, batches)

    def _opened(self) -> MeasuringSession:
        if self._session is None:
            raise MeasuringError("the bench has no anchor yet; open it first.")
        return self._session

    def _started(self, anchor: NetworkFiles, reference_ms: float | None) -> MeasuringSession:
        return self._open.enter_context(
            MeasuringSession(
                profile=self._profile, anchor=anchor, folder=self._folder, anchor_reference_ms=reference_ms
            )
        )
