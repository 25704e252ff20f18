"""Units of prepared networks that a device computes in float in spite of their precision."""

from collections.abc import Mapping

from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.registry import get_runtime
from nas.measuring.preparation import Prepared
from nas.progress import Progress
from search_spaces.precision import Precision


def float_units(prepared: Prepared, precisions: Mapping[str, Precision], profile: DeviceProfile) -> dict[str, str]:
    """The reason of each such unit; empty for float networks.

    Args:
        prepared: the network's files.
        precisions: by unit, as the network's policy has them.
        profile: of the device.

    Raises:
        ArtifactError: if the graph cannot be read.
    """
    if not prepared.quantized:
        return {}
    return get_runtime(profile.runtime).float_units(prepared.onnx, precisions, profile)


class FloatUnitNotes:
    """Says that units are computed in float: once per unit, precision and reason, however many networks have it."""

    def __init__(self, profile: DeviceProfile, progress: Progress) -> None:
        self._profile = profile
        self._progress = progress
        self._said: set[tuple[str, Precision, str]] = set()

    def note(self, units: Mapping[str, str], precisions: Mapping[str, Precision]) -> None:
        """Says what is new of :func:`float_units`."""
        together: dict[tuple[Precision, str], list[str]] = {}
        for unit, reason in units.items():
            key = (unit, precisions[unit], reason)
            if key not in self._said:
                self._said.add(key)
                together.setdefault(key[1:], []).append(unit)
        for (precision, reason), names in together.items():
            self._progress.say(
                f"{precision} is computed in float on {self._profile.id} in {', '.join(names)}: {reason}."
            )
