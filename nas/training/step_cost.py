"""Cost of a sandwich step relative to the same networks as plain modules."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nas.families.registry import build_supernet
from nas.networks.building import build_network
from nas.networks.network import UnitNetwork
from nas.training.batches import TrainingBatches
from nas.training.compute import Compute, reduced_precision
from nas.training.prepared_data import PreparedData
from nas.training.sandwich import StepLoss, sandwich_gradients, step_subnets
from nas.training.settings import TrainingSettings
from search_spaces.space import SearchSpace

_STEPS: Final = 7
_WARM_UP: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Medians over steps that alternate between both ways; forward and backward, without the optimizer."""

    batch_size: int
    sandwich_s: float
    separate_s: float
    """The step's networks as plain torch modules, on as many threads."""

    @property
    def images_per_s(self) -> float:
        """Images of a batch per second of sandwich steps."""
        return self.batch_size / self.sandwich_s

    @property
    def ratio(self) -> float:
        """Sandwich step over separate networks."""
        return self.sandwich_s / self.separate_s


def measure_step_cost(
    space: SearchSpace,
    data: PreparedData,
    settings: TrainingSettings,
    compute: Compute,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> StepCost:
    """Times steps of a training that train every kind of sub-network."""
    device = compute.torch_device
    settings = replace(settings, largest_first_share=0.0)
    batches = TrainingBatches(data, settings)
    supernet = build_supernet(space, seed=settings.seed).to(device)
    sandwich_s, separate_s = [], []
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(compute.thread_count if device.type == "cpu" else 1) as executor:
            for step in range(_STEPS):
                images, labels = (part.to(device) for part in batches.batch(step % batches.steps_per_epoch))
                students = step_subnets(space, settings, step, _STEPS)
                started_s = clock()
                sandwich_gradients(supernet, images, labels, students, StepLoss(), executor)
                sandwich_s.append(clock() - started_s)
                genotypes = (space.largest(), *students)
                networks = [build_network(space, genotype).to(device).train() for genotype in genotypes]
                started_s = clock()
                _separate(networks, images, labels, executor)
                separate_s.append(clock() - started_s)
    finally:
        torch.set_num_threads(before)
    return StepCost(
        batch_size=batches.batch_size,
        sandwich_s=median(sandwich_s[_WARM_UP:]),
        separate_s=median(separate_s[_WARM_UP:]),
    )


def _separate(networks: list[UnitNetwork], images: Tensor, labels: Tensor, executor: Executor) -> None:
    last = images.contiguous(memory_format=torch.channels_last)

    def train(network: UnitNetwork) -> None:
        with reduced_precision(last.device):
            logits = network(last).to(last.dtype)
        functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]

    list(executor.map(train, networks))
    if last.device.type == "cuda":
        torch.cuda.synchronize(last.device)
