"""The processes of a training started by ``torchrun``; a single process is a group of one.

All processes hold the same weights. Each computes the gradients of its share of a step's images,
and the mean of all is applied by each. Process 0 alone evaluates, reports and writes files.
"""

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn

from nas.supernet.batch_shard import BatchShard
from search_spaces.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProcesses:
    """This process's place among those of its training."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where this process computes."""

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, reports and writes."""
        return self.rank == 0

    @property
    def shard(self) -> BatchShard | None:
        """This process's share of each batch; None for one process."""
        return BatchShard(index=self.rank, count=self.count) if self.count > 1 else None

    def check_batch(self, batch_size: int) -> None:
        """Refuses batches that have no equal shares of at least two images.

        Raises:
            UsageError: names a batch size that has.
        """
        if batch_size % self.count or batch_size < 2 * self.count:
            fitting = max(2, batch_size // self.count) * self.count
            raise UsageError(
                f"{self.count} processes cannot share batches of {batch_size} images equally; train with a batch size"
                f" of {fitting}."
            )

    def mean_gradients(self, parameters: Sequence[nn.Parameter], loss: float) -> float:
        """Replaces each process's gradients by the mean of all; the mean of the losses."""
        if self.count == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        values = torch.cat(
            [*(gradient.reshape(-1) for gradient in gradients), torch.tensor([loss], device=self.device)]
        )
        distributed.all_reduce(values)
        values /= self.count
        *parts, mean = torch.split(values, [*(gradient.numel() for gradient in gradients), 1])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(mean)

    def any(self, here: bool) -> bool:
        """Whether it is so in any process; all must ask."""
        if self.count == 1:
            return here
        flag: Tensor = torch.tensor([float(here)], device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag.item())

    def wait(self) -> None:
        """Waits until all processes are here."""
        if self.count > 1:
            distributed.barrier()


def process_rank() -> int:
    """The place that ``torchrun`` gave this process; 0 without it."""
    return int(os.environ.get("RANK", "0"))


def joined_processes(device: torch.device) -> TrainingProcesses:
    """The group that ``torchrun`` started this process in; without it, this process alone.

    Processes talk by NCCL if they compute on GPUs, else by gloo. The group is joined once and left when the
    process ends.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return TrainingProcesses(device=device)
    if not distributed.is_initialized():
        distributed.init_process_group("gloo" if device.type == "cpu" else "nccl")
        atexit.register(distributed.destroy_process_group)
    return TrainingProcesses(rank=distributed.get_rank(), count=count, device=device)
