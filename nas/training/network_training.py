"""Training of single networks of a space: alone from random weights, or from inherited ones with a teacher.

Several networks train beside each other, a step at a time, so that one interrupt stops
all of them between two steps. What a network was trained with names its folder: a
finished network is loaded, an interrupted one resumes where it stopped.
"""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.evaluation.batch_norm import recalibrate_batch_norm
from nas.networks.building import build_network, with_genotype
from nas.networks.layers import initialize_linear
from nas.networks.network import UnitNetwork
from nas.networks.weight_files import load_network, save_network
from nas.quantization.onnx_export import ExportError
from nas.supernet.supernet import Supernet
from nas.training.batches import TrainingBatches
from nas.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from nas.training.compute import Compute, reduced_precision
from nas.training.interruption import TrainingInterruptedError, deferred_interrupts
from nas.training.optimizer import make_optimizer
from nas.training.prepared_data import PreparedData
from nas.training.quantization_aware import CALIBRATION_IMAGES, QUANTIZATION_AWARE_VERSION, QuantizationAwareNetwork
from nas.training.schedule import learning_rate
from nas.training.settings import TrainingSettings
from nas.training.training_state import pack_state, unpack_state
from nas.training.weight_average import WeightAverage
from search_spaces.space import IntArray, SearchSpace

WEIGHTS_FILE: Final = "network.safetensors"
CHECKPOINT_FILE: Final = "checkpoint.safetensors"
_GROUP_PER_THREAD: Final = 4
_KEPT_LESSONS: Final = 8
_SUPERNET_ONLY: Final = frozenset({"epochs", "random_subnets", "label_share", "largest_first_share", "dropout", "init"})
"""Settings that do not change a single network: supernets that differ in them share what was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """Settings of one network's training.

    Attributes:
        genotype: Canonical, shape ``(genes,)``.
        settings: Batches, augmentation, optimizer and its rate; the number of steps is not taken from here.
        steps: Optimizer steps; the learning rate falls to zero over them.
        inherit: Start from the supernet's weights, not from random ones.
        teacher_share: Share of the teacher's output in the targets, 0 to 1; the rest are the labels.
        quantized_from: The plan of the float network, trained before, that quantization-aware training under the
            genotype's policy starts from (:mod:`nas.training.quantization_aware`); None trains a float network.
    """

    genotype: IntArray
    settings: TrainingSettings
    steps: int
    inherit: bool = False
    teacher_share: float = 0.0
    quantized_from: "NetworkPlan | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTrainingContext:
    """What the trainings of a batch share.

    Attributes:
        space: Of all networks.
        data: Split and normalized; no test image is in it.
        data_fingerprint: Of the data set.
        folder: Where trained networks and checkpoints are kept.
        supernet: Where weights are inherited from and whose largest network teaches; None where no plan
            needs it.
        supernet_id: SHA-256 of its weights.
        compute: On the processor, as many networks train at the same time as there are threads, one thread each.
        on_progress: Called with steps done and in total, of all networks together.
        clock: Seconds, for checkpoints.
    """

    space: SearchSpace
    data: PreparedData
    data_fingerprint: str
    folder: Path
    supernet: Supernet | None = None
    supernet_id: str = ""
    compute: Compute = field(default_factory=Compute)
    on_progress: Callable[[int, int], None] = field(default=lambda _done, _total: None)
    clock: Callable[[], float] = time.monotonic

    @property
    def device(self) -> torch.device:
        """Where networks train."""
        return self.compute.torch_device

    def plan_folder(self, plan: NetworkPlan) -> Path:
        """Named by all that determines the trained weights."""
        identity: dict[str, Any] = {
            "space": self.space.name,
            "config": self.space.configuration,
            "genes": self.space.to_string(plan.genotype),
            "data": self.data_fingerprint,
            "settings": {k: v for k, v in plan.settings.identity().items() if k not in _SUPERNET_ONLY},
            "steps": plan.steps,
            "inherit": plan.inherit,
            "teacher_share": plan.teacher_share,
            "supernet": self.supernet_id if plan.inherit or plan.teacher_share else "",
        }
        if plan.quantized_from is not None:
            identity["quantized_from"] = [self.plan_folder(plan.quantized_from).name, QUANTIZATION_AWARE_VERSION]
        return self.folder / hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def train_networks(plans: Sequence[NetworkPlan], context: NetworkTrainingContext) -> list[UnitNetwork]:
    """The trained networks, in order, in evaluation mode and with recalibrated batch norm.

    Equal plans, data and supernet give equal weights, whatever else is trained beside them.

    Raises:
        TrainingInterruptedError: after Ctrl-C; the same call resumes.
        CheckpointError: where a checkpoint is damaged.
        ExportError: where a network cannot be quantized.
        ValueError: where a plan needs a supernet and there is none.
    """
    trained = try_train_networks(plans, context)
    for network in trained:
        if isinstance(network, ExportError):
            raise network
    return [network for network in trained if isinstance(network, UnitNetwork)]


def try_train_networks(
    plans: Sequence[NetworkPlan], context: NetworkTrainingContext
) -> list[UnitNetwork | ExportError]:
    """As :func:`train_networks`; the error takes the place of a network that cannot be quantized."""
    threads = context.compute.thread_count if context.device.type == "cpu" else 1
    folders = [context.plan_folder(plan) for plan in plans]
    waiting = [i for i, folder in enumerate(folders) if not (folder / WEIGHTS_FILE).is_file()]
    failed: dict[int, ExportError] = {}
    total = sum(plan.steps for plan in plans)
    done = total - sum(plans[i].steps for i in waiting)
    # Networks of equal cost beside each other: each round of steps waits for its slowest.
    waiting.sort(key=lambda i: -_macs(context.space, plans[i].genotype))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        teacher = _largest(context) if any(plans[i].teacher_share for i in waiting) else None
        with ThreadPoolExecutor(threads, thread_name_prefix="network") as executor:
            size = threads * _GROUP_PER_THREAD
            for start in range(0, len(waiting), size):
                lessons = _Lessons(context, teacher)
                group = []
                for i in waiting[start : start + size]:
                    try:
                        group.append(_NetworkTraining(plans[i], folders[i], context, lessons))
                    except ExportError as error:
                        failed[i] = error
                        done += plans[i].steps
                _run_group(group, executor, context, done, total)
                done += sum(training.plan.steps for training in group)
    finally:
        torch.set_num_threads(before)
    return [
        failed[i] if i in failed else load_network(context.space, folder / WEIGHTS_FILE)
        for i, folder in enumerate(folders)
    ]


def _macs(space: SearchSpace, genotype: IntArray) -> int:
    return sum(operator.macs for operator in space.operators(genotype))


def _run_group(
    group: "list[_NetworkTraining]",
    executor: ThreadPoolExecutor,
    context: NetworkTrainingContext,
    done: int,
    total: int,
) -> None:
    saved_s = context.clock()
    with deferred_interrupts() as interruption:
        while running := [training for training in group if training.step < training.plan.steps]:
            list(executor.map(_NetworkTraining.train_step, running))
            finished = done + sum(training.step for training in group)
            try:
                context.on_progress(finished, total)
            except KeyboardInterrupt:
                interruption.requested = True
            due = context.clock() - saved_s >= group[0].plan.settings.checkpoint_every_s
            if interruption.requested or due:
                for training in running:
                    training.save_checkpoint()
                saved_s = context.clock()
            if interruption.requested:
                raise TrainingInterruptedError(finished, total)
        list(executor.map(_NetworkTraining.finish, group))


class _Lessons:
    """The images and targets of steps, made once for all networks of a group that learn from the same."""

    def __init__(self, context: NetworkTrainingContext, teacher: UnitNetwork | None) -> None:
        self._context, self._teacher = context, teacher
        self._batches: dict[TrainingSettings, TrainingBatches] = {}
        self._made: OrderedDict[tuple[TrainingSettings, float, int], tuple[Tensor, Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def lesson(self, plan: NetworkPlan, step: int) -> tuple[Tensor, Tensor]:
        """Images ``(n, c, h, w)``, channels last, and target probabilities ``(n, classes)``; only to be read."""
        # Networks that differ in the learning rate alone see the same.
        settings = replace(plan.settings, learning_rate=1.0)
        key = (settings, plan.teacher_share, step)
        with self._lock:
            if key not in self._made:
                if settings not in self._batches:
                    self._batches[settings] = TrainingBatches(self._context.data, settings)
                images, labels = self._batches[settings].batch(step)
                device = self._context.device
                images = images.to(device).contiguous(memory_format=torch.channels_last)
                self._made[key] = (images, self._targets(plan, images, labels.to(device)))
                if len(self._made) > _KEPT_LESSONS:
                    self._made.popitem(last=False)
            return self._made[key]

    def _targets(self, plan: NetworkPlan, images: Tensor, labels: Tensor) -> Tensor:
        classes = self._context.space.task.classes
        smoothing = plan.settings.label_smoothing
        targets = functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
        if plan.teacher_share and self._teacher is not None:
            with torch.no_grad(), reduced_precision(images.device):
                logits = self._teacher(images).to(images.dtype)
            targets = torch.lerp(targets, logits.softmax(1), plan.teacher_share)
        return targets


class _Subject(Protocol):
    """What is trained."""

    module: nn.Module

    def targets(self, images: Tensor, targets: Tensor) -> Tensor:
        """The target probabilities ``(n, classes)`` in place of a lesson's."""
        ...

    def save(self, trained: nn.Module, path: Path) -> None:
        """Writes the weights of the module, or of its average, as a network in evaluation mode."""
        ...


class _FloatNetwork:
    """A network of float units, with batch norm."""

    def __init__(self, network: UnitNetwork, context: NetworkTrainingContext) -> None:
        self.module: nn.Module = network
        self._recalibration = context.data.recalibration_images

    def targets(self, images: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002 - see _Subject
        return targets

    def save(self, trained: nn.Module, path: Path) -> None:
        trained.eval()
        recalibrate_batch_norm(trained, self._recalibration)
        save_network(cast("UnitNetwork", trained.cpu()), path)


class _NetworkTraining:
    """One network's training, from its start or its last checkpoint."""

    def __init__(self, plan: NetworkPlan, folder: Path, context: NetworkTrainingContext, lessons: _Lessons) -> None:
        self.plan, self.folder = plan, folder
        self._lessons = lessons
        self._subject = _subject(plan, context)
        self._network = self._subject.module.to(context.device)
        self._optimizer = make_optimizer(self._network, plan.settings)
        decay = plan.settings.ema_decay
        self._average = WeightAverage(self._network, decay) if decay else None
        self.step = 0
        if self._checkpoint_path.is_file():
            self._resume()

    @property
    def _checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT_FILE

    def train_step(self) -> None:
        settings = self.plan.settings
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(
                self.step, self.plan.steps, peak=settings.learning_rate, warmup_share=settings.warmup_share
            )
        images, targets = self._lessons.lesson(self.plan, self.step)
        targets = self._subject.targets(images, targets)
        self._network.train()
        self._optimizer.zero_grad(set_to_none=True)
        # Rounding to integers needs all of float32's digits.
        with nullcontext() if self.plan.quantized_from else reduced_precision(images.device):
            logits = self._network(images).to(images.dtype)
        functional.cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), settings.clip_norm)
        self._optimizer.step()
        self.step += 1
        if self._average is not None:
            self._average.update(self._network, self.step)

    def save_checkpoint(self) -> None:
        tensors = pack_state(self._network, self._optimizer, self._average)
        save_checkpoint(Checkpoint(tensors=tensors, state={"step": self.step}), self._checkpoint_path)

    def _resume(self) -> None:
        checkpoint = load_checkpoint(self._checkpoint_path)
        try:
            unpack_state(checkpoint.tensors, self._network, self._optimizer, self._average)
            self.step = int(checkpoint.state["step"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint {self._checkpoint_path} is of another version; delete it to train from the start."
            ) from error

    def finish(self) -> None:
        trained = self._network if self._average is None else self._average.network
        self._subject.save(trained, self.folder / WEIGHTS_FILE)
        self._checkpoint_path.unlink(missing_ok=True)


def _subject(plan: NetworkPlan, context: NetworkTrainingContext) -> _Subject:
    if plan.quantized_from is None:
        return _FloatNetwork(_start_network(plan, context), context)
    finished = load_network(context.space, context.plan_folder(plan.quantized_from) / WEIGHTS_FILE)
    calibration = context.data.recalibration_images[:CALIBRATION_IMAGES]
    return QuantizationAwareNetwork(with_genotype(finished, plan.genotype), calibration, context.device)


def _start_network(plan: NetworkPlan, context: NetworkTrainingContext) -> UnitNetwork:
    if plan.inherit:
        if context.supernet is None:
            raise ValueError("a plan inherits weights, and the context has no supernet")
        return context.supernet.extract(plan.genotype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.settings.seed)
        network = build_network(context.space, plan.genotype)
        for module in network.modules():
            _initialize(module)
    return network


def _initialize(module: nn.Module) -> None:
    """As the supernet's layers start, for a network's own sizes."""
    if isinstance(module, nn.Conv2d):
        depthwise = module.groups > 1
        nn.init.kaiming_normal_(module.weight, mode="fan_in" if depthwise else "fan_out", nonlinearity="relu")
    elif type(module) is nn.Linear:  # derived ones started as they should
        initialize_linear(module.weight, module.bias)


def _largest(context: NetworkTrainingContext) -> UnitNetwork:
    """The supernet's largest network, which teaches; only read, by all threads."""
    if context.supernet is None:
        raise ValueError("a plan asks for a teacher, and the context has no supernet")
    network = context.supernet.extract(context.space.largest()).to(context.device)
    recalibrate_batch_norm(network, context.data.recalibration_images)
    return network.fold_batch_norm().eval()
