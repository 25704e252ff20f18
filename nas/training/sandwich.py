"""One training step by the sandwich rule with in-place distillation (BigNAS, ECCV 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nas.supernet.supernet import Supernet
from nas.training.randomness import Purpose, generator
from nas.training.settings import TrainingSettings
from search_spaces.space import IntArray, SearchSpace


def step_subnets(space: SearchSpace, settings: TrainingSettings, step: int) -> list[IntArray]:
    """The students of a step: the smallest and random ones, drawn from (seed, step, index)."""
    drawn = [
        space.sample(1, generator(settings.seed, Purpose.SUBNET, step, index))[0]
        for index in range(settings.random_subnets)
    ]
    return [space.smallest(), *drawn]


def sandwich_gradients(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    *,
    largest: IntArray,
    students: Sequence[IntArray],
    label_smoothing: float,
    dropout: float,
    dropout_seed: int,
) -> float:
    """Adds a step's gradients to the supernet's parameters.

    The largest sub-network learns from the labels; the others learn from its logits.

    Returns:
        The largest sub-network's loss.
    """
    supernet.train()
    with torch.random.fork_rng(devices=[]), supernet.use(largest):
        torch.manual_seed(dropout_seed)
        logits = supernet(images, dropout)
    loss = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    teacher = logits.detach().softmax(1)
    for genotype in students:
        with supernet.use(genotype):
            student = supernet(images)
        functional.cross_entropy(student, teacher).backward()  # type: ignore[no-untyped-call]
    return loss.item()
