"""Trains a supernet; resuming an interrupted training is bit-exact on the same machine."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from nas.data.dataset import DataError, ImageDataset
from nas.evaluation.accuracy import evaluate_subnet
from nas.families.registry import build_supernet
from nas.store.errors import LeaseLostError
from nas.supernet.batch_shard import on_shard
from nas.supernet.supernet import Supernet
from nas.training.batches import TrainingBatches
from nas.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from nas.training.compute import Compute
from nas.training.initialization import initialize_from
from nas.training.interruption import TrainingInterruptedError, deferred_interrupts
from nas.training.learning_curve import LearningCurve, SubnetAccuracies
from nas.training.memory import keep_freed_memory
from nas.training.optimizer import make_optimizer
from nas.training.prepared_data import PreparedData, prepare
from nas.training.processes import TrainingProcesses, joined_processes
from nas.training.randomness import Purpose, generator
from nas.training.record import CHECKPOINT_FILE, RECORD_FILE, SupernetRecord, read_record, save_supernet, supernet_id
from nas.training.sandwich import StepLoss, sandwich_gradients, step_subnets
from nas.training.schedule import learning_rate
from nas.training.settings import TrainingSettings
from nas.training.training_state import pack_state, unpack_state
from nas.training.weight_average import WeightAverage
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace


class TrainingDivergedError(NasError):
    """The loss stopped being a number."""

    code: ClassVar[str] = "training-diverged"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """Progress of a training after a step; accuracies are the latest known, on validation images."""

    step: int
    total_steps: int
    loss: float
    accuracies: SubnetAccuracies | None
    images_per_s: float
    seconds_left: float


ProgressCallback = Callable[[TrainingProgress], None]


def train_supernet(
    space: SearchSpace,
    dataset: ImageDataset,
    settings: TrainingSettings,
    folder: Path,
    *,
    on_progress: ProgressCallback | None = None,
    compute: Compute | None = None,
) -> SupernetRecord:
    """Trains a supernet into a folder, resumes one, or returns the record of a finished one.

    Args:
        space: Bound to the data set's task.
        dataset: Its test images are not used.
        settings: Equal settings and data give equal weights.
        folder: ``Home.supernets / supernet_id(space, dataset, settings)``; a supernet to start from lies beside it.
        on_progress: Called after each step, between steps; an error that it raises ends the training, which resumes.
        compute: A GPU if there is one, else one thread per core, by default. On the processor the weights do not
            depend on the number of threads as long as torch uses one per operator, which holds for up to as many
            threads as a step has sub-networks.

    Raises:
        TrainingInterruptedError: after Ctrl-C; the folder holds a checkpoint.
        CheckpointError: if the folder's checkpoint is damaged or of another training.
        TrainingDivergedError: if the loss is not finite.
        DataError: if the data does not fit the space or cannot be split.
        UsageError: if the supernet to start from is of another space or other images.
    """
    if space.task != dataset.task:
        raise DataError(f"{dataset.name} has images and classes {dataset.task}; the space is bound to {space.task}.")
    if (folder / RECORD_FILE).is_file():
        record = read_record(folder)
        if record.id != supernet_id(space, dataset, settings):
            raise CheckpointError(f"{folder} holds the supernet {record.id} of another training; choose another path.")
        return record
    keep_freed_memory()
    compute = compute or Compute()
    processes = joined_processes(compute.torch_device)
    with _threads(compute.thread_count, subnets=2 + settings.random_subnets) as executor:
        return _Training(space, dataset, settings, folder, on_progress, executor, processes).run()


@contextmanager
def _threads(count: int, *, subnets: int) -> Iterator[Executor]:
    """Threads for a step's sub-networks; any further threads are torch's own, inside each.

    Whole sub-networks side by side beat torch's threads inside each of their small
    operators, and do not wait for each other at every operator where the machine is busy.
    """
    before = torch.get_num_threads()
    beside = min(count, subnets)
    torch.set_num_threads(max(1, count // beside))
    try:
        with ThreadPoolExecutor(max_workers=beside, thread_name_prefix="subnet") as executor:
            yield executor
    finally:
        torch.set_num_threads(before)


class _Training:
    """One run of one training, from its start or its last checkpoint."""

    def __init__(
        self,
        space: SearchSpace,
        dataset: ImageDataset,
        settings: TrainingSettings,
        folder: Path,
        on_progress: ProgressCallback | None,
        threads: Executor,
        processes: TrainingProcesses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device = processes.device
        # Threads would ask other processes for sums in any order, and a GPU takes one kernel after the other.
        self.threads = threads if processes.count == 1 and self.device.type == "cpu" else None
        self.processes = processes
        self.space, self.dataset, self.settings, self.folder = space, dataset, settings, folder
        self.on_progress, self.clock = on_progress, clock
        self.id = supernet_id(space, dataset, settings)
        self.data: PreparedData = prepare(dataset, settings)
        self.batches = TrainingBatches(self.data, settings)
        processes.check_batch(self.batches.batch_size)
        self.total_steps = settings.epochs * self.batches.steps_per_epoch
        self.supernet = build_supernet(space, seed=settings.seed)
        if settings.init and not self.checkpoint_path.is_file():
            initialize_from(self.supernet, folder.parent, settings.init)
        self.supernet.to(self.device)
        self.optimizer = make_optimizer(self.supernet, settings)
        self.average = WeightAverage(self.supernet, settings.ema_decay) if settings.ema_decay else None
        self.step = 0
        self.seconds_before = 0.0
        self.curve = LearningCurve()
        self.started_s = clock()
        self.resumed_step = 0

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT_FILE

    def run(self) -> SupernetRecord:
        if self.checkpoint_path.is_file():
            self._resume()
        saved_s = self.started_s = self.clock()
        with deferred_interrupts() as interruption:
            while self.step < self.total_steps:
                loss = self._train_step()
                self.curve.add_loss(loss)
                self._evaluate_when_due()
                try:
                    self._report(loss)
                except KeyboardInterrupt:
                    interruption.requested = True
                except LeaseLostError:
                    raise  # the training is another process's, and so is its checkpoint
                except NasError:
                    self._save_checkpoint()
                    raise
                if self.processes.any(interruption.requested):
                    self._save_checkpoint()
                    raise TrainingInterruptedError(self.step, self.total_steps)
                if self.clock() - saved_s >= self.settings.checkpoint_every_s:
                    self._save_checkpoint()
                    saved_s = self.clock()
        return self._finish()

    # --- steps -------------------------------------------------------------------

    def _train_step(self) -> float:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.step, self.total_steps, peak=settings.learning_rate, warmup_share=settings.warmup_share
            )
        images, labels = self.batches.batch(self.step)
        shard = self.processes.shard
        if shard is not None:
            rows = shard.rows(len(images))
            images, labels = images[rows], labels[rows]
        images, labels = images.to(self.device), labels.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with on_shard(shard) if shard is not None else nullcontext():
            loss = sandwich_gradients(
                self.supernet,
                images,
                labels,
                students=step_subnets(self.space, settings, self.step, self.total_steps),
                settings=StepLoss(
                    label_smoothing=settings.label_smoothing,
                    dropout=settings.dropout,
                    dropout_seed=int(generator(settings.seed, Purpose.DROPOUT, self.step).integers(2**62)),
                    label_share=settings.label_share,
                ),
                threads=self.threads,
            )
        loss = self.processes.mean_gradients(list(self.supernet.parameters()), loss)
        norm = nn.utils.clip_grad_norm_(self.supernet.parameters(), settings.clip_norm)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise TrainingDivergedError(
                f"the loss became {loss} and the gradient {float(norm):.3g} in step {self.step + 1};"
                f" lower the learning rate ({settings.learning_rate})."
            )
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self.average.update(self.supernet, self.step)
        return loss

    def _evaluate_when_due(self) -> None:
        epoch, position = divmod(self.step, self.batches.steps_per_epoch)
        last = self.step == self.total_steps
        if not self.processes.leads:
            return
        if last or (position == 0 and epoch % self.settings.evaluate_every_epochs == 0):
            self._evaluate()

    def _evaluate(self) -> SubnetAccuracies:
        accuracies = SubnetAccuracies(
            smallest=self._accuracy(self.space.smallest()),
            middle=self._accuracy(self.space.middle()),
            largest=self._accuracy(self.space.largest()),
        )
        self.curve.add_evaluation(self.step, self.step / self.batches.steps_per_epoch, accuracies)
        self.curve.write(self.folder)
        return accuracies

    def _accuracy(self, genotype: IntArray) -> float:
        return evaluate_subnet(
            self._trained,
            genotype,
            recalibration_images=self.data.recalibration_images,
            images=self.data.validation_images,
            labels=self.data.validation_labels,
        )[1]

    def _report(self, loss: float) -> None:
        if self.on_progress is None or not self.processes.leads:
            return
        step_s = (self.clock() - self.started_s) / (self.step - self.resumed_step)
        self.on_progress(
            TrainingProgress(
                step=self.step,
                total_steps=self.total_steps,
                loss=loss,
                accuracies=self.curve.accuracies,
                images_per_s=self.batches.batch_size / step_s if step_s > 0 else 0.0,
                seconds_left=step_s * (self.total_steps - self.step),
            )
        )

    @property
    def _trained(self) -> Supernet:
        """What the training gives: the averaged supernet where there is one."""
        return self.supernet if self.average is None else self.average.network

    # --- state -------------------------------------------------------------------

    def _seconds(self) -> float:
        return self.seconds_before + self.clock() - self.started_s

    def _save_checkpoint(self) -> None:
        if not self.processes.leads:
            return
        state: dict[str, Any] = {
            "id": self.id,
            "step": self.step,
            "seconds": self._seconds(),
            "curve": self.curve.as_json(),
            "settings": self.settings.as_json(),
            "data_fingerprint": self.dataset.fingerprint,
            "space": self.space.name,
        }
        tensors = pack_state(self.supernet, self.optimizer, self.average)
        save_checkpoint(Checkpoint(tensors=tensors, state=state), self.checkpoint_path)

    def _resume(self) -> None:
        checkpoint = load_checkpoint(self.checkpoint_path)
        state = checkpoint.state
        if state.get("id") != self.id:
            raise CheckpointError(
                f"the checkpoint {self.checkpoint_path} is of {self._difference(state)};"
                " delete it or choose another place."
            )
        try:
            unpack_state(checkpoint.tensors, self.supernet, self.optimizer, self.average)
            self.step = self.resumed_step = int(state["step"])
            self.seconds_before = float(state["seconds"])
            self.curve = LearningCurve.from_json(state["curve"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint {self.checkpoint_path} is incomplete; delete it to train from the start."
            ) from error

    def _difference(self, state: Mapping[str, Any]) -> str:
        if state.get("space") != self.space.name:
            return f"the space {state.get('space')}, not {self.space.name}"
        if state.get("data_fingerprint") != self.dataset.fingerprint:
            return "other data"
        theirs, ours = state.get("settings") or {}, self.settings.as_json()
        changed = [name for name in ours if theirs.get(name) != ours[name]]
        return f"other settings ({changed[0]}: {theirs.get(changed[0])})" if changed else "other sizes of the space"

    def _finish(self) -> SupernetRecord:
        record = self._save() if self.processes.leads else None
        self.processes.wait()
        return record or read_record(self.folder)

    def _save(self) -> SupernetRecord:
        accuracies = self.curve.accuracies or self._evaluate()
        record = SupernetRecord(
            id=self.id,
            space=self.space.name,
            task=self.space.task,
            dataset=self.dataset.name,
            data_fingerprint=self.dataset.fingerprint,
            classes=self.dataset.classes,
            normalization=self.data.normalization,
            settings=self.settings,
            weights_sha256="",
            steps=self.step,
            accuracy_smallest=accuracies.smallest,
            accuracy_middle=accuracies.middle,
            accuracy_largest=accuracies.largest,
            images_val=len(self.data.validation_labels),
            seconds=self._seconds(),
            versions={"torch": str(torch.__version__)},
        )
        saved = save_supernet(self.folder, self._trained, record)
        self.checkpoint_path.unlink(missing_ok=True)
        return saved
