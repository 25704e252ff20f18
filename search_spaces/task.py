"""What a network is asked to do: the shape of its images and its number of classes."""

from dataclasses import asdict, dataclass

from search_spaces.errors import UnsupportedTaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTask:
    """Image classification on images of one shape.

    Raises:
        UnsupportedTaskError: where a count is below 1 or there are fewer than 2 classes.
    """

    channels: int
    height: int
    width: int
    classes: int

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width) < 1:
            raise UnsupportedTaskError(f"images of shape {self.shape} have an empty side; give at least 1x1x1.")
        if self.classes < 2:
            raise UnsupportedTaskError(f"{self.classes} class found; classification needs at least 2.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (self.channels, self.height, self.width)

    def as_json(self) -> dict[str, int]:
        """The fields as a JSON object."""
        return asdict(self)
