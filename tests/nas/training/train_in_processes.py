"""What the processes that torchrun starts run: ``train FOLDER [STEP]`` or ``gradients FILE SPACE``.

Both compute in double precision, so that a difference between one process and two is no rounding.

Rank 1 of ``train`` is killed after STEP. The steps that rank 0 reports are written to FOLDER.steps.
"""

import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nas.data.normalization import Normalization
from nas.families.registry import build_supernet
from nas.supernet.batch_shard import on_shard
from nas.training import trainer
from nas.training.batches import TrainingBatches
from nas.training.prepared_data import prepare
from nas.training.processes import TrainingProcesses, joined_processes
from nas.training.sandwich import StepLoss, sandwich_gradients, step_subnets
from nas.training.settings import TrainingSettings
from search_spaces.registry import get_space
from search_spaces.space import SearchSpace
from tests.nas.training.test_trainer import DATA, ONE_THREAD, SETTINGS, SPACE

LOSS = StepLoss(dropout=0.3, dropout_seed=5, label_smoothing=0.1, label_share=0.5)


def settings() -> TrainingSettings:
    """With all that draws random numbers, and a checkpoint after each step; large steps would magnify rounding."""
    return replace(SETTINGS, dropout=0.3, flip=True, ema_decay=0.9, checkpoint_every_s=0.0, learning_rate=1e-3)


class KilledTraining(trainer._Training):
    """Rank 1 dies, without a word, when it has done so many steps."""

    def _train_step(self) -> float:
        loss = super()._train_step()
        if self.processes.rank == 1 and self.step == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return loss


def in_double_precision() -> None:
    """From here on, networks and their inputs are float64."""
    torch.set_default_dtype(torch.float64)
    apply = Normalization.apply
    Normalization.apply = lambda normalization, images: apply(normalization, images).astype(np.float64)


def gradients(processes: TrainingProcesses, space: SearchSpace) -> torch.Tensor:
    """Of a step."""
    supernet = build_supernet(space, seed=0)
    images, labels = TrainingBatches(prepare(DATA, settings()), settings()).batch(0)
    shard = processes.shard
    rows = slice(None) if shard is None else shard.rows(len(images))
    with on_shard(shard) if shard is not None else nullcontext():
        students = step_subnets(space, settings(), 0, 6)
        loss = sandwich_gradients(supernet, images[rows], labels[rows], students, LOSS)
    parameters = list(supernet.parameters())
    processes.mean_gradients(parameters, loss)
    return torch.cat([parameter.grad.reshape(-1) for parameter in parameters if parameter.grad is not None])


if __name__ == "__main__":
    torch.set_num_threads(1)
    in_double_precision()
    if sys.argv[1] == "gradients":
        joined = joined_processes(torch.device("cpu"))
        found = gradients(joined, get_space(sys.argv[3], DATA.task))
        if joined.leads:
            torch.save(found, sys.argv[2])
    else:
        if len(sys.argv) > 3:
            trainer._Training = KilledTraining
        folder = Path(sys.argv[2])
        with folder.with_suffix(".steps").open("a", buffering=1) as steps:
            trainer.train_supernet(
                SPACE, DATA, settings(), folder, compute=ONE_THREAD, on_progress=lambda at: steps.write(f"{at.step}\n")
            )
