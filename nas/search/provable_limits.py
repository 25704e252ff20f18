"""Limits that cost facts prove infeasible, so that a search can be refused before anything is evaluated.

A deployed file holds its network's weights, and a running network has them in memory: so the smallest network's weights
are a lower bound on ``size_bytes`` and, less what a reading of it may miss, on ``peak_memory_bytes``. Cost facts bound
no other metric: latency and loading time depend on the device, accuracy on the data.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from hw_profiles.profile import DeviceProfile
from hw_profiles.sizes import predicted_weight_bytes
from nas.metrics import PEAK_MEMORY_BYTES, SIZE_BYTES, Constraints, Metric
from nas.search.restriction import Restriction
from search_spaces.space import SearchSpace

_MISSED_BYTES: Final[Mapping[Metric, int]] = {SIZE_BYTES: 0, PEAK_MEMORY_BYTES: 1 << 20}
"""Of the weights: a file has them all. A reading of memory may miss some: see :mod:`hw_profiles.footprint`."""


def infeasible_limits(
    space: SearchSpace, constraints: Constraints, profile: DeviceProfile, restriction: Restriction
) -> dict[str, str]:
    """Limits that no network of a search can meet, with the reason, by the limit's name.

    Args:
        space: of the search.
        constraints: its limits.
        profile: its device, whose runtime decides in how many bits weights are stored.
        restriction: what the search may propose.
    """
    bounded = [one for one in constraints.items if one.metric in _MISSED_BYTES]
    if not bounded:
        return {}
    corners = np.stack([space.with_policy(space.smallest(), precision) for precision in space.precisions])
    weights = float(predicted_weight_bytes(space, restriction.project(space, corners), profile).min())
    return {
        one.name: f"no network of {space.name} can meet {one.name} {one.limit:.0f}: the weights of the smallest one"
        f" take {weights:.0f} bytes on {profile.id}; give a larger limit"
        for one in bounded
        if one.limit < weights - _MISSED_BYTES[one.metric]
    }
