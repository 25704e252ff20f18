"""The shard of a batch that a process trains on, for layers that need statistics over the whole batch.

Batch norm takes its statistics over the images of all processes, and dropout draws for all of
them, so that processes together compute what one process would. Without a shard, which is the
usual case, both are torch's own functions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, distributed
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShard:
    """One of ``count`` equal, consecutive shares of a batch, one per process of the default process group."""

    index: int
    count: int

    def rows(self, total: int) -> slice:
        """The share's rows of ``total``, which ``count`` must divide."""
        size = total // self.count
        return slice(self.index * size, (self.index + 1) * size)


_CURRENT: Final[ContextVar[BatchShard | None]] = ContextVar("batch_shard", default=None)


@contextmanager
def on_shard(shard: BatchShard) -> Iterator[None]:
    """Inside, networks in training mode see this shard; the gradients' graph is that of the whole batch."""
    token = _CURRENT.set(shard)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalizes ``(n, c, h, w)`` by the statistics of the batch, all processes' images together."""
    shard = _CURRENT.get()
    if shard is None:
        return functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    count = x.numel() // x.shape[1] * shard.count
    mean = _sum(x.sum((0, 2, 3))) / count
    centred = x - mean[:, None, None]
    variance = _sum((centred * centred).sum((0, 2, 3))) / count
    scale = weight * torch.rsqrt(variance + eps)
    return centred * scale[:, None, None] + bias[:, None, None]


def dropout(x: Tensor, share: float) -> Tensor:
    """Drops this share of features ``(n, f)``, from torch's global generator, as if for the whole batch."""
    shard = _CURRENT.get()
    if shard is None:
        return functional.dropout(x, share)
    whole = torch.empty(len(x) * shard.count, *x.shape[1:], dtype=x.dtype, device=x.device)
    kept = whole.bernoulli_(1 - share).div_(1 - share)
    return x * kept[shard.rows(len(whole))]


def _sum(values: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(values)  # type: ignore[no-untyped-call]  # torch's
    return total


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401 - torch types no context
        del ctx
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - as above
        del ctx
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
