"""A seeded, stratified validation split that keeps groups whole."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import DataError, LabelArray

IndexArray = NDArray[np.int64]
DEFAULT_FRACTION = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Indices into the training images, sorted; the two parts share nothing."""

    train: IndexArray
    validation: IndexArray


def validation_split(
    labels: LabelArray,
    *,
    groups: LabelArray | None = None,
    fraction: float = DEFAULT_FRACTION,
    seed: int = 0,
) -> Split:
    """Splits off ``fraction`` of each class, or of whole groups if there are groups.

    Both parts hold every class. The same arguments give the same split.

    Raises:
        DataError: where the fraction is not in (0, 1) or a class cannot be in both parts.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"the validation fraction is {fraction}; it must lie between 0 and 1, for example 0.2.")
    rng = np.random.default_rng(seed)
    chosen = _split_images(labels, fraction, rng) if groups is None else _split_groups(labels, groups, fraction, rng)
    return Split(train=np.flatnonzero(~chosen), validation=np.flatnonzero(chosen))


def _split_images(labels: LabelArray, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(f"class {int(label)} has one training image; training and validation need one each.")
        count = min(len(members) - 1, max(1, round(fraction * len(members))))
        chosen[rng.permutation(members)[:count]] = True
    return chosen


def _split_groups(
    labels: LabelArray, groups: LabelArray, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Takes groups, large ones first, as long as each moves the classes closer to their share."""
    _, group_of = np.unique(groups, return_inverse=True)
    _, class_of = np.unique(labels, return_inverse=True)
    counts = np.zeros((group_of.max() + 1, class_of.max() + 1))
    np.add.at(counts, (group_of, class_of), 1)
    spread = (counts > 0).sum(axis=0)
    if spread.min() < 2:
        label = int(np.unique(labels)[int(spread.argmin())])
        raise DataError(
            f"all training images of class {label} are in one group; training and validation need one group each."
        )
    total = counts.sum(axis=0)
    target = fraction * total
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    taken = np.zeros(len(counts), dtype=np.bool_)
    have = np.zeros_like(total)
    for group in order:
        after = have + counts[group]
        # In shares of a class, so that a rare class weighs as much as a frequent one.
        nearer = (((after - target) / total) ** 2).sum() < (((have - target) / total) ** 2).sum()
        if nearer and (after < total).all():
            taken[group], have = True, after
    for column in np.flatnonzero(have == 0):
        _take_one_more(counts, taken, order, int(column), total)
    have = counts[taken].sum(axis=0)
    if not have.all():
        label = int(np.unique(labels)[int(np.flatnonzero(have == 0)[0])])
        raise DataError(
            f"no split of the groups was found that has class {label} and all others in training and validation;"
            " use more or smaller groups."
        )
    whole: NDArray[np.bool_] = taken[group_of]
    return whole


def _take_one_more(
    counts: NDArray[np.float64],
    taken: NDArray[np.bool_],
    order: IndexArray,
    column: int,
    total: NDArray[np.float64],
) -> None:
    """Adds the smallest group of a class that validation lacks and training can spare."""
    have = counts[taken].sum(axis=0)
    if have[column]:
        return
    for group in reversed(order):
        if counts[group, column] and (have + counts[group] < total).all():
            taken[group] = True
            return
