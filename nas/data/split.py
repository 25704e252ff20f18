"""A seeded, stratified validation split that keeps groups whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import DataError, LabelArray

IndexArray = NDArray[np.int64]
DEFAULT_FRACTION = 0.2
_NAMED = 5


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
    classes: Sequence[str] = (),
) -> Split:
    """Splits off ``fraction`` of each class, or of whole groups if there are groups.

    Both parts hold every class. The same arguments give the same split; ``classes`` are names for
    messages and change nothing.

    Raises:
        DataError: if the fraction is not in (0, 1) or a class cannot be in both parts.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"the validation fraction is {fraction}; it must lie between 0 and 1, for example 0.2.")
    rng = np.random.default_rng(seed)
    _check_counts(labels, groups, classes)
    chosen = _split_images(labels, fraction, rng) if groups is None else _split_groups(labels, groups, fraction, rng)
    return Split(train=np.flatnonzero(~chosen), validation=np.flatnonzero(chosen))


def _check_counts(labels: LabelArray, groups: LabelArray | None, classes: Sequence[str]) -> None:
    """Each class needs two images, and two groups where there are groups: one for each part.

    Raises:
        DataError: names the classes that have fewer.
    """
    few = []
    for label in np.unique(labels):
        members = labels == label
        if (len(np.unique(groups[members])) if groups is not None else members.sum()) < 2:
            few.append(classes[label] if label < len(classes) else str(label))
    if not few:
        return
    named = ", ".join(few[:_NAMED]) + (f" and {len(few) - _NAMED} more" if len(few) > _NAMED else "")
    subject, verb = ("class", "has") if len(few) == 1 else ("the classes", "have")
    if groups is None:
        raise DataError(
            f"{subject} {named} {verb} one training image; training and validation need one each, so add images or"
            " leave the class out."
        )
    raise DataError(
        f"all training images of {subject} {named} are in one group; training and validation need one group each, so"
        " add groups or leave the class out."
    )


def _split_images(labels: LabelArray, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
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
