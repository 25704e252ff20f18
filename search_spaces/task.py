"""Tasks: a network's named inputs and outputs, and its metric."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, Self, get_args

from search_spaces.errors import UnsupportedTaskError, quoted

Dtype = Literal["float32", "int64"]
TaskMetric = Literal["accuracy"]

_IMAGE_FIELDS: Final = ("channels", "height", "width", "classes")
"""The stored form of image classification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A named input or output; ``shape`` is that of one example, without the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: Dtype = "float32"

    def __str__(self) -> str:
        """Such as ``tokens (int64 128)``."""
        return f"{self.name} ({self.dtype} {'x'.join(map(str, self.shape))})"

    def as_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            UnsupportedTaskError: for an unknown dtype.
        """
        if values["dtype"] not in get_args(Dtype):
            raise UnsupportedTaskError(
                f"a tensor has the dtype {quoted(values['dtype'])}; allowed are {', '.join(get_args(Dtype))}."
            )
        shape = tuple(int(side) for side in values["shape"])
        return cls(name=str(values["name"]), shape=shape, dtype=values["dtype"])


class ImageShape(NamedTuple):
    """The shape of one image, channels first."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """Inputs, outputs and metric of a task; :meth:`image_classification` makes the common one.

    Networks of today have one input and one output, the logits ``(classes,)``.

    Raises:
        UnsupportedTaskError: if a side of a tensor is below 1 or there are fewer than 2 classes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metric: TaskMetric = "accuracy"

    def __post_init__(self) -> None:
        if not self.inputs or [len(output.shape) for output in self.outputs] != [1]:
            raise UnsupportedTaskError("a task needs inputs and one output, the logits of its classes.")
        for tensor in self.inputs:
            if min(tensor.shape, default=0) < 1:
                what = "images" if self.is_image_classification else tensor.name
                raise UnsupportedTaskError(f"{what} of shape {tensor.shape} have an empty side; give at least 1x1x1.")
        if self.classes < 2:
            raise UnsupportedTaskError(f"{self.classes} class found; classification needs at least 2.")

    @classmethod
    def image_classification(cls, *, channels: int, height: int, width: int, classes: int) -> Self:
        """Classification of normalized float32 images of one shape."""
        return cls(
            inputs=(TensorSpec(name="images", shape=(channels, height, width)),),
            outputs=(TensorSpec(name="logits", shape=(classes,)),),
        )

    @property
    def input(self) -> TensorSpec:
        """The only input.

        Raises:
            UnsupportedTaskError: if there are several.
        """
        if len(self.inputs) > 1:
            raise UnsupportedTaskError(f"networks take one input; the task has {self._input_texts}.")
        return self.inputs[0]

    @property
    def output(self) -> TensorSpec:
        """The logits."""
        return self.outputs[0]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.output.shape[0]

    @property
    def is_image_classification(self) -> bool:
        """Whether the only input is float32 images."""
        shapes = [(tensor.name, tensor.dtype, len(tensor.shape)) for tensor in self.inputs]
        return shapes == [("images", "float32", 3)]

    @property
    def image(self) -> ImageShape:
        """The shape of the images.

        Raises:
            UnsupportedTaskError: if the task is another.
        """
        return self.image_for("this step")

    def image_for(self, space: str) -> ImageShape:
        """The shape of the images, for a space whose networks take images.

        Raises:
            UnsupportedTaskError: names the space and the task's inputs, where the task is another.
        """
        if not self.is_image_classification:
            raise UnsupportedTaskError(
                f"{space} takes images, and the task's input is {self._input_texts}; choose a space of a family that"
                " takes it."
            )
        return ImageShape(*self.inputs[0].shape)

    @property
    def dimensions(self) -> str:
        """Sides of the inputs, then the classes, such as ``3x32x32x10``."""
        sides = [side for tensor in self.inputs for side in tensor.shape]
        return "x".join(str(side) for side in (*sides, self.classes))

    @property
    def _input_texts(self) -> str:
        return ", ".join(str(tensor) for tensor in self.inputs)

    def with_classes(self, classes: int) -> Self:
        """The same task with another number of classes."""
        return replace(self, outputs=(replace(self.output, shape=(classes,)),))

    def as_json(self) -> dict[str, Any]:
        """A JSON object: channels, height, width and classes of image classification, or else all tensors.

        Ids of candidates and supernets depend on it.
        """
        if self.is_image_classification and self.output.name == "logits" and self.metric == "accuracy":
            return dict(zip(_IMAGE_FIELDS, (*self.image, self.classes), strict=True))
        return {
            "inputs": [tensor.as_json() for tensor in self.inputs],
            "outputs": [tensor.as_json() for tensor in self.outputs],
            "metric": self.metric,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            UnsupportedTaskError: for fields, a metric or tensors that no task has.
        """
        if values.keys() == set(_IMAGE_FIELDS):
            return cls.image_classification(**{name: int(values[name]) for name in _IMAGE_FIELDS})
        if values.keys() != {"inputs", "outputs", "metric"} or values["metric"] not in get_args(TaskMetric):
            raise UnsupportedTaskError(
                f"{quoted(dict(values))} is not a task; it has either {', '.join(_IMAGE_FIELDS)}, or inputs, outputs"
                f" and a metric ({', '.join(get_args(TaskMetric))})."
            )
        tensors = ([TensorSpec.from_json(one) for one in values[part]] for part in ("inputs", "outputs"))
        inputs, outputs = (tuple(each) for each in tensors)
        return cls(inputs=inputs, outputs=outputs, metric=values["metric"])
