"""Batch-norm recalibration: a sub-network's own statistics instead of the supernet's mixture."""

import torch
from torch import nn

from nas.evaluation.image_batches import EvaluationImages, device_of, even_batches
from search_spaces.errors import UsageError

DEFAULT_BATCH = 250


@torch.no_grad()
def recalibrate_batch_norm(network: nn.Module, images: EvaluationImages, *, batch_size: int = DEFAULT_BATCH) -> None:
    """Replaces running statistics by the sample-weighted mean over the batches of ``images``.

    Deterministic. Everything but batch norm stays in evaluation mode; networks without
    batch norm are left alone. The mode of each module is as before afterwards.

    Args:
        network: Changed in place.
        images: Normalized images ``(n, c, h, w)``, a fixed set of training images.
        batch_size: Images per forward pass; batches differ by one image at most.

    Raises:
        UsageError: for fewer than two images.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    if len(images) < 2:
        raise UsageError(f"batch-norm recalibration got {len(images)} images; give at least 2 (1,000 recommended).")
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    device = device_of(network)
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    try:
        seen = 0
        for batch in even_batches(images, batch_size):
            seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / seen
            network(batch.to(device).contiguous(memory_format=torch.channels_last))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training
