"""Settings of finishing; importing this loads no torch."""

from dataclasses import dataclass

from search_spaces.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSettings:
    """Settings of finishing.

    Attributes:
        epochs: Passes over the training images, parts of one allowed.
        learning_rate_share: Peak learning rate, as a share of the supernet's.
        teacher_share: Share of the largest network's output in the targets; the rest are the labels.
        quantized_share: Epochs of quantization-aware training that follow for networks with quantized units, as a
            share of ``epochs``; 0 for none.
        quantized_rate_share: Its peak learning rate, as a share of the supernet's.
    """

    epochs: float = 1.0
    learning_rate_share: float = 0.5
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
            if not low <= value <= high:
                raise UsageError(f"the finishing setting {name} is {value}; it must lie between {low:g} and {high:g}.")
