"""Finishing: a short fine-tuning of selected networks, from inherited weights, with the largest as teacher."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas.evaluation.accuracy import accuracy, evaluate_subnet
from nas.networks.network import UnitNetwork
from nas.training.batches import TrainingBatches
from nas.training.finish_settings import FinishSchedule, FinishSettings
from nas.training.network_training import NetworkPlan, NetworkTrainingContext, train_networks
from nas.training.prepared_data import PreparedData
from nas.training.settings import TrainingSettings
from search_spaces.space import IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedNetwork:
    """A finished network; accuracies are fractions of the validation images."""

    network: UnitNetwork
    """In evaluation mode, with recalibrated batch norm that is not folded."""
    accuracy_inherited_val: float
    accuracy_val: float


def finish_networks(
    genotypes: Sequence[IntArray],
    training: TrainingSettings,
    settings: FinishSettings,
    context: NetworkTrainingContext,
) -> list[FinishedNetwork]:
    """Finishes networks of the context's supernet, beside each other; in order.

    Finished networks are kept in the context's folder and loaded when asked for again. Test images are
    not used.

    Args:
        genotypes: Canonical, each of shape ``(genes,)``.
        training: Of the supernet: batches, augmentation and optimizer are as there.
        settings: How long, how fast, and how much the teacher counts.
        context: With the supernet.

    Raises:
        TrainingInterruptedError: after Ctrl-C; the same call resumes.
        ValueError: if the context has no supernet.
    """
    if context.supernet is None:
        raise ValueError("networks are finished from a supernet, but the context has none")
    plans = finish_plans(genotypes, training, settings, context)
    data = context.data
    return [
        FinishedNetwork(
            network=network,
            accuracy_inherited_val=evaluate_subnet(
                context.supernet,
                genotype,
                recalibration_images=data.recalibration_images,
                images=data.validation_images,
                labels=data.validation_labels,
            )[1],
            accuracy_val=accuracy(network.fold_batch_norm(), data.validation_images, data.validation_labels),
        )
        for genotype, network in zip(genotypes, train_networks(plans, context), strict=True)
    ]


def quantization_aware_plans(
    genotypes: Sequence[IntArray],
    training: TrainingSettings,
    settings: FinishSettings,
    context: NetworkTrainingContext,
) -> list[NetworkPlan]:
    """Plans of quantization-aware training; the float networks of the same architectures are finished before.

    Args:
        genotypes: Canonical, each with integer units, of shape ``(genes,)``.
        training: As for :func:`finish_plans`, as the others.
        settings: For how long and how fast.
        context: With the supernet.
    """
    floats = finish_plans([context.space.unquantized(one) for one in genotypes], training, settings, context)
    rate = training.learning_rate * settings.quantized_rate_share
    return [
        NetworkPlan(
            genotype=genotype,
            settings=replace(plan.settings, learning_rate=rate),
            steps=max(1, round(plan.steps * settings.quantized_share)),
            quantized_from=plan,
        )
        for genotype, plan in zip(genotypes, floats, strict=True)
    ]


def finish_plans(
    genotypes: Sequence[IntArray],
    training: TrainingSettings,
    settings: FinishSettings,
    context: NetworkTrainingContext,
) -> list[NetworkPlan]:
    """The plans that :func:`finish_networks` trains by."""
    schedule = finish_schedule(settings, training, context.data)
    fine = replace(training, learning_rate=training.learning_rate * schedule.rate_share, label_smoothing=0.0)
    return [
        NetworkPlan(
            genotype=genotype,
            settings=fine,
            steps=schedule.steps,
            inherit=True,
            teacher_share=settings.teacher_share,
        )
        for genotype in genotypes
    ]


def finish_schedule(settings: FinishSettings, training: TrainingSettings, data: PreparedData) -> FinishSchedule:
    """How long and how fast networks of a supernet with this training are finished."""
    epoch_steps = TrainingBatches(data, training).steps_per_epoch
    return settings.schedule(supernet_steps=training.epochs * epoch_steps, epoch_steps=epoch_steps)
