"""Settings of finishing; importing this loads no torch."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from search_spaces.errors import UsageError

SUPERNET_SHARE: Final = 0.4
"""Steps of finishing by default, as a share of the supernet's: about what it takes to be as good as trained alone."""
MOST_STEPS: Final = 1000
"""Steps of finishing by default at most: the longer a supernet has trained, the closer its networks are."""
_RATE_SHARE: Final = 0.5
_RATE_GROWTH: Final = 3.0
"""A short finishing cannot recover from high rates: the peak grows with the share of the steps up to `_RATE_SHARE`."""


class FinishSchedule(NamedTuple):
    """How long and how fast the networks of a supernet are finished."""

    steps: int
    """Optimizer steps, at least 1."""
    supernet_share: float
    """The same as a share of the supernet's."""
    rate_share: float
    """Peak learning rate as a share of the supernet's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSettings:
    """Settings of finishing.

    Attributes:
        epochs: Passes over the training images, parts of one allowed; None for 0.4 of the supernet's steps, but
            no more than 1,000 steps.
        learning_rate_share: Peak learning rate, as a share of the supernet's; None for 0.5, or less if the
            finishing takes less than a sixth of the supernet's steps: three times its share of them.
        teacher_share: Share of the largest network's output in the targets; the rest are the labels.
        quantized_share: Epochs of quantization-aware training that follow for networks with quantized units, as a
            share of ``epochs``; 0 for none.
        quantized_rate_share: Its peak learning rate, as a share of the supernet's.
    """

    epochs: float | None = None
    learning_rate_share: float | None = None
    teacher_share: float = 0.5
    quantized_share: float = 0.25
    quantized_rate_share: float = 0.05

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 0.001, 100_000.0),
            ("learning_rate_share", 1e-6, 100.0),
            ("teacher_share", 0.0, 1.0),
            ("quantized_share", 0.0, 100.0),
            ("quantized_rate_share", 1e-6, 100.0),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"the finishing setting {name} is {value}; it must lie between {low:g} and {high:g}.")

    @classmethod
    def of_epochs(cls, epochs: float | None) -> "FinishSettings | None":
        """The defaults for so many epochs, with None for the default length; None for 0 epochs, which is no finishing.

        Raises:
            UsageError: for epochs that cannot be.
        """
        return None if epochs == 0 else cls(epochs=epochs)

    def schedule(self, *, supernet_steps: int, epoch_steps: int) -> "FinishSchedule":
        """How long and how fast networks of a supernet are finished.

        Args:
            supernet_steps: of the whole training.
            epoch_steps: of one pass over the training images.
        """
        wanted = min(SUPERNET_SHARE * supernet_steps, MOST_STEPS) if self.epochs is None else self.epochs * epoch_steps
        steps = max(1, round(wanted))
        rate = self.learning_rate_share
        return FinishSchedule(
            steps=steps,
            supernet_share=steps / supernet_steps,
            rate_share=min(_RATE_SHARE, _RATE_GROWTH * steps / supernet_steps) if rate is None else rate,
        )
