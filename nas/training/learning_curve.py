"""The learning curve of a training: a row per evaluation, as CSV and PNG beside the supernet.

Rows hold nothing that depends on the clock, so that a resumed training writes the same
file as an uninterrupted one.
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from nas.home import write_atomically, write_bytes

CURVE_CSV: Final = "learning_curve.csv"
CURVE_PNG: Final = "learning_curve.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetAccuracies:
    """Fractions of the validation images, with inherited weights after batch-norm recalibration."""

    smallest: float
    middle: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One evaluation.

    Attributes:
        step: Steps done.
        epoch: Passes over the training part, in fractions.
        loss: Mean training loss of the steps since the row before.
        accuracy_smallest: See :class:`SubnetAccuracies`.
        accuracy_middle: See :class:`SubnetAccuracies`.
        accuracy_largest: See :class:`SubnetAccuracies`.
    """

    step: int
    epoch: float
    loss: float
    accuracy_smallest: float
    accuracy_middle: float
    accuracy_largest: float


class LearningCurve:
    """The evaluations of a training so far, and the losses since the last one."""

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []
        self._losses = 0.0
        self._steps = 0

    @property
    def accuracies(self) -> SubnetAccuracies | None:
        """The latest; None before the first evaluation."""
        if not self.points:
            return None
        last = self.points[-1]
        return SubnetAccuracies(
            smallest=last.accuracy_smallest, middle=last.accuracy_middle, largest=last.accuracy_largest
        )

    def add_loss(self, loss: float) -> None:
        """Takes in the loss of a step."""
        self._losses += loss
        self._steps += 1

    def add_evaluation(self, step: int, epoch: float, accuracies: SubnetAccuracies) -> None:
        """Adds a row and starts the next mean loss."""
        self.points.append(
            CurvePoint(
                step=step,
                epoch=epoch,
                loss=self._losses / self._steps if self._steps else math.nan,
                accuracy_smallest=accuracies.smallest,
                accuracy_middle=accuracies.middle,
                accuracy_largest=accuracies.largest,
            )
        )
        self._losses, self._steps = 0.0, 0

    def as_json(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"points": [asdict(point) for point in self.points], "losses": self._losses, "steps": self._steps}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LearningCurve":
        """The inverse of :meth:`as_json`.

        Raises:
            KeyError: if a field is missing.
            TypeError: if a row has other fields.
        """
        curve = cls()
        curve.points = [CurvePoint(**point) for point in values["points"]]
        curve._losses, curve._steps = float(values["losses"]), int(values["steps"])
        return curve

    def write(self, folder: Path) -> None:
        """Writes ``learning_curve.csv`` and ``learning_curve.png``, replacing those of before.

        Raises:
            DiskFullError: if the disk has no space.
        """
        text = io.StringIO()
        rows = csv.DictWriter(text, [field.name for field in fields(CurvePoint)], lineterminator="\n")
        rows.writeheader()
        rows.writerows(asdict(point) for point in self.points)
        write_bytes(folder / CURVE_CSV, text.getvalue().encode())
        self._plot(folder / CURVE_PNG)

    def _plot(self, path: Path) -> None:
        # matplotlib takes half a second to import and belongs to this function alone.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - matplotlib is slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415 - as above
        from matplotlib.ticker import PercentFormatter  # noqa: PLC0415 - as above

        figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        losses, accuracies = figure.subplots(1, 2)
        epochs = [point.epoch for point in self.points]
        losses.plot(epochs, [point.loss for point in self.points], "o-", color="#6c757d")
        losses.set(xlabel="epoch", ylabel="training loss")
        for name, color in (("largest", "#0b6e4f"), ("middle", "#c1440e"), ("smallest", "#8f2d56")):
            values = [getattr(point, f"accuracy_{name}") for point in self.points]
            accuracies.plot(epochs, values, "o-", color=color, label=name)
        accuracies.set(xlabel="epoch", ylabel="validation accuracy, inherited weights")
        accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
        accuracies.legend()
        for axes in (losses, accuracies):
            axes.set_xlim(left=0.0)
            axes.grid(alpha=0.3)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
