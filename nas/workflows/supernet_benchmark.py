"""Benchmark: inherited accuracy against networks trained alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.data.dataset import ImageDataset
from nas.data.normalized_images import NormalizedImages
from nas.data.sources import load_dataset
from nas.evaluation.accuracy import predictions
from nas.evaluation.batch_norm import recalibrate_batch_norm
from nas.evaluation.ranking_fidelity import RankingFidelity, kendall_tau
from nas.networks.network import UnitNetwork
from nas.progress import Progress
from nas.search.finished_accuracy import pilot_networks
from nas.supernet.supernet import Supernet
from nas.training.compute import Compute
from nas.training.finish_settings import FinishSettings
from nas.training.finishing import finish_networks, finish_plans
from nas.training.network_training import NetworkPlan, NetworkTrainingContext, train_networks
from nas.training.prepared_data import prepare
from nas.training.record import SupernetRecord, load_supernet
from nas.training.settings import TrainingSettings
from nas.training.step_cost import StepCost, measure_step_cost
from nas.workflows.finishing import fit_finished_accuracy
from nas.workflows.supernet_trust import write_benchmark
from nas.workflows.training import TrainingTask, train
from nas.workspace import Workspace, space_of
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

RATE_FACTORS: Final = (0.5, 1.0, 2.0)
_DRAWS: Final = 100

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetBenchmarkRequest:
    """Settings of the benchmark.

    Attributes:
        data: As ``--data`` takes it.
        space: A space of one of the families.
        settings: Of the supernet's training; single networks take as many steps.
        networks: Sampled networks, beside the largest one; at least 3.
        sample_seed: What they are drawn from; it decides nothing else.
        rate_factors: Each network is trained alone with each of these times the settings' learning rate; the
            one that is best on validation images counts.
        finish: How networks are finished; None where they are not.
        compute: Where networks train, and how many at the same time.
    """

    data: str
    space: str
    settings: TrainingSettings
    networks: int = 20
    sample_seed: int = 20_261_121
    rate_factors: tuple[float, ...] = RATE_FACTORS
    finish: FinishSettings | None = field(default_factory=FinishSettings)
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        if not 3 <= self.networks <= 1000:
            raise UsageError(f"{self.networks} networks asked for; give from 3 to 1000.")
        if not self.rate_factors or not all(math.isfinite(f) and 0 < f <= 100 for f in self.rate_factors):
            raise UsageError(f"learning-rate factors {self.rate_factors}; give numbers above 0, up to 100.")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkComparison:
    """One network's accuracies as fractions of validation and test images; None where it was not finished."""

    summary: str
    genes: str
    sampled: bool
    """False for the largest network, which is not among those that are ranked."""
    inherited_val: float
    inherited_test: float
    finished_val: float | None
    finished_test: float | None
    expected_val: float | None
    """Finished accuracy as a search expects it from pilots (:mod:`nas.search.finished_accuracy`)."""
    alone_val: float
    alone_test: float
    alone_rate_factor: float

    def as_json(self) -> dict[str, object]:
        """One JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetBenchmark:
    """A supernet beside networks trained alone for as many steps."""

    supernet: str
    space: str
    data: str
    settings: TrainingSettings
    steps: int
    images_val: int
    images_test: int
    training_s: float
    step_cost: StepCost
    on_test: RankingFidelity
    on_validation: RankingFidelity
    networks: tuple[NetworkComparison, ...]
    """The largest first, then the sampled ones."""

    @property
    def sampled(self) -> list[NetworkComparison]:
        """Those that are ranked."""
        return [one for one in self.networks if one.sampled]

    @property
    def gap_test(self) -> float:
        """Mean test accuracy alone minus inherited, over sampled networks."""
        return float(np.mean([one.alone_test - one.inherited_test for one in self.sampled]))

    @property
    def worst_gap_test(self) -> float:
        """The largest such difference of one network."""
        return max(one.alone_test - one.inherited_test for one in self.sampled)

    @property
    def expected_tau(self) -> tuple[float, tuple[float, float]] | None:
        """Kendall's tau between what a search expects and test accuracy alone, and its 90 % interval."""
        pairs = [(one.expected_val, one.alone_test) for one in self.sampled if one.expected_val is not None]
        return kendall_tau(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])) if pairs else None

    @property
    def finished_gap_test(self) -> float | None:
        """Mean test accuracy finished minus alone; None where networks were not finished."""
        gaps = [one.finished_test - one.alone_test for one in self.sampled if one.finished_test is not None]
        return float(np.mean(gaps)) if gaps else None

    def as_json(self) -> dict[str, object]:
        """The document that ``hwnas bench supernet --out`` writes."""
        return {
            "supernet": self.supernet,
            "space": self.space,
            "data": self.data,
            "settings": self.settings.as_json(),
            "steps": self.steps,
            "images_val": self.images_val,
            "images_test": self.images_test,
            "training_s": self.training_s,
            "images_per_s": self.step_cost.images_per_s,
            "step_cost_ratio": self.step_cost.ratio,
            **_fidelity_json(self.on_test, ""),
            **_fidelity_json(self.on_validation, "_val"),
            "kendall_tau_expected": None if self.expected_tau is None else _known(self.expected_tau[0]),
            "kendall_tau_expected_interval_90": (
                None if self.expected_tau is None else [_known(end) for end in self.expected_tau[1]]
            ),
            "gap_test": self.gap_test,
            "worst_gap_test": self.worst_gap_test,
            "finished_minus_alone_test": self.finished_gap_test,
            "networks": [one.as_json() for one in self.networks],
        }


def _fidelity_json(fidelity: RankingFidelity, suffix: str) -> dict[str, object]:
    return {
        f"kendall_tau{suffix}": _known(fidelity.kendall_tau),
        f"kendall_tau{suffix}_interval_90": [_known(v) for v in fidelity.kendall_tau_interval_90],
        f"kendall_tau{suffix}_noise_corrected": _known(fidelity.kendall_tau_noise_corrected),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def benchmark_supernet(
    workspace: Workspace, request: SupernetBenchmarkRequest, progress: Progress
) -> SupernetBenchmark:
    """Trains (or finds) the supernet and the same networks alone, and compares both on test images.

    What was found is kept with the supernet. Every trained network is kept under the home's cache: the
    same call resumes after an interrupt, and another supernet of the same data and steps reuses the
    networks trained alone.

    Raises:
        NasError: if the data or the space cannot be trained on.
        TrainingInterruptedError: after Ctrl-C.
    """
    task = TrainingTask(data=request.data, space=request.space, settings=request.settings, compute=request.compute)
    stored = train(workspace, task, progress)
    supernet, record = load_supernet(workspace.supernet_folder(stored))
    dataset = load_dataset(request.data)
    space = space_of(stored)
    settings = record.settings
    context = NetworkTrainingContext(
        space=space,
        data=prepare(dataset, settings, record.normalization),
        data_fingerprint=dataset.fingerprint,
        folder=workspace.home.cache / "networks",
        supernet=supernet,
        supernet_id=record.weights_sha256,
        compute=request.compute,
        on_progress=lambda done, total: progress.update("training networks alone", done, total),
    )
    genotypes = [space.largest(), *sample_networks(space, request.networks, request.sample_seed)]
    images = _Images.of(dataset, context)
    inherited = [images.right(_inherited(supernet, genotype, context)) for genotype in genotypes]
    alone = _alone(genotypes, record, request, context, images)
    finished: list[_Right] | None = None
    expected: FloatArray | None = None
    if request.finish is not None:
        context = replace(context, on_progress=lambda done, total: progress.update("finishing networks", done, total))
        plans = finish_plans(genotypes, settings, request.finish, context)
        finished = [images.right(network) for network in train_networks(plans, context)]
        pilots = finish_networks(list(pilot_networks(space)), settings, request.finish, context)
        if (function := fit_finished_accuracy(space, pilots)) is not None:
            expected = function.of(np.stack(genotypes), np.array([one.val for one in inherited]))
    rows = tuple(
        NetworkComparison(
            summary=space.describe(genotype),
            genes=space.to_string(genotype),
            sampled=index > 0,
            inherited_val=inherited[index].val,
            inherited_test=inherited[index].test,
            finished_val=finished[index].val if finished else None,
            finished_test=finished[index].test if finished else None,
            expected_val=None if expected is None else float(expected[index]),
            alone_val=alone[index][0].val,
            alone_test=alone[index][0].test,
            alone_rate_factor=alone[index][1],
        )
        for index, genotype in enumerate(genotypes)
    )

    def fidelity(part: str) -> RankingFidelity:
        pairs = [(getattr(inherited[i], part), getattr(alone[i][0], part)) for i in range(1, len(genotypes))]
        return RankingFidelity.of(np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs]))

    found = SupernetBenchmark(
        supernet=stored.id,
        space=space.name,
        data=dataset.name,
        settings=settings,
        steps=record.steps,
        images_val=len(images.validation),
        images_test=len(images.test),
        training_s=record.seconds,
        step_cost=measure_step_cost(space, context.data, settings, request.compute),
        on_test=fidelity("right_test"),
        on_validation=fidelity("right_val"),
        networks=rows,
    )
    write_benchmark(workspace.supernet_folder(stored), found.as_json())
    return found


def sample_networks(space: SearchSpace, count: int, seed: int) -> list[IntArray]:
    """Distinct unquantized networks of every size, the largest not among them.

    Raises:
        UsageError: if the space has not as many.
    """
    rng = np.random.default_rng(seed)
    largest = space.to_string(space.largest())
    found: dict[str, IntArray] = {}
    for _ in range(_DRAWS):
        for genotype in space.unquantized(space.sample_spread(count, rng)):
            text = space.to_string(genotype)
            if text != largest and len(found) < count:
                found[text] = genotype
        if len(found) == count:
            return list(found.values())
    raise UsageError(f"{space.name} gave {len(found)} distinct networks; ask for fewer than {count}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Right:
    """Which images a network gets right."""

    right_val: BoolArray
    right_test: BoolArray

    @property
    def val(self) -> float:
        return float(self.right_val.mean())

    @property
    def test(self) -> float:
        return float(self.right_test.mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Images:
    """Validation and test images."""

    validation: NormalizedImages
    validation_labels: Tensor
    test: NormalizedImages
    test_labels: Tensor

    @classmethod
    def of(cls, dataset: ImageDataset, context: NetworkTrainingContext) -> "_Images":
        return cls(
            validation=context.data.validation_images,
            validation_labels=context.data.validation_labels,
            test=NormalizedImages(images=dataset.x_test, normalization=context.data.normalization),
            test_labels=torch.from_numpy(dataset.y_test),
        )

    def right(self, network: UnitNetwork) -> _Right:
        folded = network.fold_batch_norm()
        return _Right(
            right_val=(predictions(folded, self.validation) == self.validation_labels).numpy(),
            right_test=(predictions(folded, self.test) == self.test_labels).numpy(),
        )


def _inherited(supernet: Supernet, genotype: IntArray, context: NetworkTrainingContext) -> UnitNetwork:
    network = supernet.extract(genotype)
    recalibrate_batch_norm(network, context.data.recalibration_images)
    return network


def _alone(
    genotypes: Sequence[IntArray],
    record: SupernetRecord,
    request: SupernetBenchmarkRequest,
    context: NetworkTrainingContext,
    images: _Images,
) -> list[tuple[_Right, float]]:
    """Each network trained alone with the rate that suits it best, and that rate's factor."""
    settings = record.settings
    plans = [
        NetworkPlan(
            genotype=genotype,
            settings=replace(settings, learning_rate=settings.learning_rate * factor),
            steps=record.steps,
        )
        for genotype in genotypes
        for factor in request.rate_factors
    ]
    found = [images.right(network) for network in train_networks(plans, context)]
    count = len(request.rate_factors)
    chosen = []
    for start in range(0, len(found), count):
        tried = list(zip(found[start : start + count], request.rate_factors, strict=True))
        chosen.append(max(tried, key=lambda pair: pair[0].val))
    return chosen
