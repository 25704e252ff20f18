"""Accuracy of networks and of sub-networks with inherited weights."""

import torch
from torch import Tensor, nn

from nas.evaluation.batch_norm import DEFAULT_BATCH, recalibrate_batch_norm
from nas.evaluation.image_batches import EvaluationImages, batches, device_of
from nas.networks.network import UnitNetwork
from nas.supernet.supernet import Supernet
from search_spaces.errors import UsageError
from search_spaces.space import IntArray


@torch.no_grad()
def predictions(network: nn.Module, images: EvaluationImages, *, batch_size: int = DEFAULT_BATCH) -> Tensor:
    """The class of each image, int64 of shape ``(n,)``; the network's mode is as before afterwards.

    Args:
        network: Maps ``(n, c, h, w)`` to logits ``(n, classes)``.
        images: Normalized float32 images ``(n, c, h, w)``, or images that are normalized batch by batch.
        batch_size: Images per forward pass.
    """
    training = network.training
    network.eval()
    device = device_of(network)
    try:
        found = [
            network(batch.to(device).contiguous(memory_format=torch.channels_last)).argmax(1).cpu()
            for batch in batches(images, batch_size)
        ]
    finally:
        network.train(training)
    return torch.cat(found)


def accuracy(network: nn.Module, images: EvaluationImages, labels: Tensor, *, batch_size: int = DEFAULT_BATCH) -> float:
    """Share of images whose class is right, 0 to 1.

    Raises:
        UsageError: if there are no images, or not one label per image.
    """
    if len(images) == 0 or len(images) != len(labels):
        raise UsageError(f"accuracy needs one label per image; got {len(images)} images and {len(labels)} labels.")
    return float((predictions(network, images, batch_size=batch_size) == labels).double().mean())


def evaluate_subnet(
    supernet: Supernet,
    genotype: IntArray,
    *,
    recalibration_images: EvaluationImages,
    images: EvaluationImages,
    labels: Tensor,
) -> tuple[UnitNetwork, float]:
    """Extracts a sub-network, recalibrates its batch norm and measures its accuracy.

    Nothing is carried over from other sub-networks, and the supernet is only read.

    Returns:
        The recalibrated network in evaluation mode on the supernet's device, and its accuracy from 0 to 1.
    """
    network = supernet.extract(genotype).to(device_of(supernet))
    recalibrate_batch_norm(network, recalibration_images)
    return network, accuracy(network.fold_batch_norm(), images, labels)
