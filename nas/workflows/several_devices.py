"""One search for several devices: accuracy is evaluated once, latency on each device.

The devices are searched one after the other over the same supernet. Accuracies, which do
not depend on the device, are evaluated once and known to the searches that follow. Then
each device's front is run on the other devices: the matrix shows what is lost by
deploying a front that was searched for another device (as in FBNet, CVPR 2019, table 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hw_profiles.profile import DeviceProfile
from nas.fronts.front import Front
from nas.measuring.context import SearchContext
from nas.search.pareto import hypervolume
from nas.workflows.evaluating import evaluator
from nas.workflows.front_search import check_limits, search_front
from nas.workflows.searching import SearchTask
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray

_BEYOND: Final = 0.1
_LEAST_BEYOND: Final = 1e-3
"""In log latency and error: where all members are alike."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceMatrix:
    """Fronts of several devices, and the hypervolume of each on the others."""

    devices: tuple[str, ...]
    front_ids: tuple[str, ...]
    fronts: tuple[Front, ...]
    hypervolumes: FloatArray
    """Shape ``(devices, devices)``: of the front searched for the row's device, run on the column's device.

    Objectives are log p50 and expected error; each column has its own reference, the
    slowest and the least accurate network of all fronts on that device.
    """

    @property
    def relative(self) -> FloatArray:
        """Each column divided by the hypervolume of the device's own front, same shape."""
        return np.asarray(self.hypervolumes / np.diag(self.hypervolumes)[None, :])

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "devices": list(self.devices),
            "fronts": list(self.front_ids),
            "hypervolumes": self.hypervolumes.tolist(),
            "relative": self.relative.tolist(),
        }


def search_devices(context: SearchContext, profiles: Sequence[DeviceProfile], task: SearchTask) -> DeviceMatrix:
    """Searches for each device in turn and runs each front on every device; resumes where it stopped.

    Args:
        context: supernet and preparation pool; its profile is replaced by each of ``profiles``.
        profiles: two or more distinct devices.
        task: the same for all devices; the budget of evaluations is each device's.

    Raises:
        UsageError: for fewer than two devices, or one named twice.
        InfeasibleError: if a device cannot meet the limits; no device is searched then if cost facts prove it.
        NasError: if a search fails.
    """
    names = [profile.id for profile in profiles]
    if len(set(names)) < max(len(names), 2):
        raise UsageError(f"the devices {', '.join(names)}; give two or more different ones.")
    contexts = [replace(context, profile=profile) for profile in profiles]
    for one in contexts:
        check_limits(one, task)
    found = [search_front(one, task) for one in contexts]
    fronts = [front for _, front in found]
    losses = [[_losses(front, one) for one in contexts] for front in fronts]
    return DeviceMatrix(
        devices=tuple(names),
        front_ids=tuple(front_id for front_id, _ in found),
        fronts=tuple(fronts),
        hypervolumes=hypervolume_matrix(losses),
    )


def hypervolume_matrix(losses: Sequence[Sequence[FloatArray]]) -> FloatArray:
    """Hypervolumes of fronts on devices, shape ``(fronts, devices)``; all are positive.

    A device's reference is a tenth of the range beyond the worst of all members, so that a front of one network counts.

    Args:
        losses: by front, then by device; arrays of shape ``(members, objectives)``, minimized.
    """
    columns = []
    for device in range(len(losses[0])):
        everyone = np.concatenate([rows[device] for rows in losses])
        worst, best = everyone.max(axis=0), everyone.min(axis=0)
        reference = worst + np.maximum(_BEYOND * (worst - best), _LEAST_BEYOND)
        columns.append([hypervolume(rows[device], reference) for rows in losses])
    return np.array(columns, dtype=np.float64).T


def _losses(front: Front, context: SearchContext) -> FloatArray:
    """Log p50 on the context's device and expected error of a front's members, shape ``(members, 2)``.

    On the device that the front is of, its verified latencies count.
    """
    expected = {member.candidate: member.expected_accuracy for member in front.members}
    if front.device == context.profile.id:
        latency_ms = {member.candidate: member.latency_p50_ms.best_known for member in front.members}
    else:
        stored = context.store.candidates.get_many(tuple(expected))
        genotypes = np.array([one.genotype for one in stored], dtype=np.int64)
        with evaluator(context) as real:
            outcomes = real.evaluate(genotypes)
        latency_ms = {outcome.candidate_id: outcome.latency_p50_ms for outcome in outcomes if outcome.succeeded}
    rows = [(np.log(latency_ms[name]), 1.0 - expected[name]) for name in expected if name in latency_ms]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 2)
