"""Which spaces' networks can be built here, known without building any."""

from search_spaces.errors import UsageError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.space import SearchSpace


def buildable(space: SearchSpace) -> MobileNetV3Space:
    """The space, where its networks can be built here.

    Raises:
        UsageError: where they cannot.
    """
    if not isinstance(space, MobileNetV3Space):
        raise UsageError(
            f"networks of {space.name} cannot be built here, so that no device can measure them; its recorded devices"
            " are for `hwnas bench calibration`. Spaces that can be measured: mobilenet_v3:tiny, mobilenet_v3:imagenet."
        )
    return space
