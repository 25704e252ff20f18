"""One training step by the sandwich rule with in-place distillation (BigNAS, ECCV 2020)."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nas.families.registry import family_of
from nas.supernet.supernet import Supernet
from nas.training.compute import reduced_precision
from nas.training.randomness import Purpose, generator
from nas.training.settings import TrainingSettings
from search_spaces.space import IntArray, SearchSpace

Gradients = tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLoss:
    """What the sub-networks of a step learn from.

    Attributes:
        label_smoothing: For the largest sub-network, which learns from labels.
        dropout: Before the classifier of the largest sub-network.
        dropout_seed: What the dropped features are drawn from.
        label_share: Share of the labels in the other sub-networks' targets; the rest is the largest one's
            softmax.
    """

    label_smoothing: float = 0.0
    dropout: float = 0.0
    dropout_seed: int = 0
    label_share: float = 0.0


def first_student_step(settings: TrainingSettings, total_steps: int) -> int:
    """The first step, counted from 0, that trains more than the largest sub-network."""
    return round(settings.largest_first_share * total_steps)


def step_subnets(space: SearchSpace, settings: TrainingSettings, step: int, total_steps: int) -> list[IntArray]:
    """The students of a step: the smallest and those that its family draws from (seed, step, index).

    There are none in the steps that train the largest alone.
    """
    if step < first_student_step(settings, total_steps):
        return []
    family = family_of(space)
    drawn = [
        family.training_genotype(space, generator(settings.seed, Purpose.SUBNET, step, index))
        for index in range(settings.random_subnets)
    ]
    return [space.smallest(), *drawn]


def sandwich_gradients(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    students: Sequence[IntArray],
    settings: StepLoss,
    threads: Executor | None = None,
) -> float:
    """Sets a step's gradients on the supernet's parameters.

    The largest sub-network learns from the labels; the others (``students``, genotypes) learn from its
    logits, which only their backward passes need. All forward passes, then all backward passes, run beside
    each other on ``threads``, and the gradients are added in a fixed order, so that the result does not
    depend on how many threads there are.

    Returns:
        The largest sub-network's loss.
    """
    supernet.train()
    parameters = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    each: Callable[..., Iterator[Any]] = map if threads is None else threads.map

    def logits_of(genotype: IntArray, dropout: float = 0.0) -> Tensor:
        with reduced_precision(images.device):
            return supernet.forward_as(genotype, images, dropout).to(images.dtype)

    def largest_logits() -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.dropout_seed)
            return logits_of(supernet.space.largest(), settings.dropout)

    def gradients_of(loss: Tensor) -> Gradients:
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    # The largest first: what takes longest must not start last.
    forward = [largest_logits, *(partial(logits_of, genotype) for genotype in students)]
    logits, *others = each(lambda run: run(), forward)
    loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    targets = logits.detach().softmax(1)
    if settings.label_share:
        targets = torch.lerp(targets, functional.one_hot(labels, targets.shape[1]).to(targets), settings.label_share)
    results = list(each(gradients_of, [loss, *(functional.cross_entropy(student, targets) for student in others)]))
    for parameter, *gradients in zip(parameters, *results, strict=True):
        present = [gradient for gradient in gradients if gradient is not None]
        parameter.grad = reduce(torch.add, present) if present else None
    return loss.item()
