"""Ctrl-C during training: stops between steps, when the state is consistent."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import ClassVar

from search_spaces.errors import NasError


class TrainingInterruptedError(NasError):
    """A training was stopped; its checkpoint holds every finished step."""

    code: ClassVar[str] = "interrupted"

    def __init__(self, step: int, total_steps: int) -> None:
        self.step = step
        self.total_steps = total_steps
        super().__init__(f"training stopped after step {step} of {total_steps}; run the command again to continue.")


@dataclass(slots=True)
class Interruption:
    """Whether a stop was requested."""

    requested: bool = False


@contextmanager
def deferred_interrupts() -> Iterator[Interruption]:
    """Turns the first Ctrl-C into a request that is looked at between steps; a second one raises at once.

    Outside the main thread, where no signal arrives, nothing changes.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.getsignal(signal.SIGINT)

    def request(_signal: int, _frame: FrameType | None) -> None:
        if interruption.requested:
            raise KeyboardInterrupt
        interruption.requested = True

    signal.signal(signal.SIGINT, request)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
