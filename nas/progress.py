"""The progress-reporting interface."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Told of each step of a task; a terminal draws a bar, a job writes a row."""

    def update(self, task: str, done: int, total: int, figures: Mapping[str, str] | None = None) -> None:
        """``done`` of ``total`` steps of ``task`` are finished; ``figures`` are shown beside them."""
        ...

    def say(self, message: str) -> None:
        """One line that stays: a failure in a batch, a stage's result."""
        ...


class SilentProgress:
    """Watches nothing."""

    def update(self, task: str, done: int, total: int, figures: Mapping[str, str] | None = None) -> None:
        """Does nothing."""

    def say(self, message: str) -> None:
        """Does nothing."""
