"""Several processes by torchrun over gloo: the weights of one process, also after a rank was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from nas.families.registry import build_supernet
from nas.supernet.batch_shard import BatchShard, batch_norm, dropout
from nas.training.learning_curve import CURVE_CSV
from nas.training.processes import TrainingProcesses
from nas.training.record import CHECKPOINT_FILE, WEIGHTS_FILE, read_record
from search_spaces.errors import UsageError
from tests.nas.training.test_trainer import SPACE
from tests.nas.training.train_in_processes import settings

ROOT = Path(__file__).parents[3]


SCRIPT = Path(__file__).with_name("train_in_processes.py")


def in_one(*arguments: object) -> None:
    run([sys.executable, SCRIPT, *arguments], succeeds=True)


def torchrun(*arguments: object, succeeds: bool = True) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT]
    return run([*command, *arguments], succeeds=succeeds)


def run(command: list[object], *, succeeds: bool) -> str:
    found = subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (found.returncode == 0) == succeeds, found.stderr
    return found.stderr


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder of a supernet that two processes trained."""
    folder = tmp_path_factory.mktemp("two") / "processes"
    torchrun("train", folder)
    return folder


def flat(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.double().reshape(-1) for _, tensor in sorted(tensors.items())])


@pytest.mark.parametrize("space", [SPACE.name, pytest.param("vit:tiny", marks=pytest.mark.slow)])
def test_the_gradients_of_two_processes_are_those_of_one(tmp_path, space):
    torchrun("gradients", tmp_path / "two.pt", space)
    in_one("gradients", tmp_path / "one.pt", space)
    found, expected = (torch.load(tmp_path / name, weights_only=True) for name in ("two.pt", "one.pt"))
    assert float((found - expected).norm() / expected.norm()) < 1e-10


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path, together):
    alone = tmp_path / "alone"
    in_one("train", alone)
    torch.set_default_dtype(torch.float64)
    try:
        start = flat(build_supernet(SPACE, seed=settings().seed).state_dict())
    finally:
        torch.set_default_dtype(torch.float32)
    found, expected = (flat(load_file(folder / WEIGHTS_FILE)) for folder in (together, alone))
    moved = float((expected - start).norm())
    assert moved > 0
    assert float((found - expected).norm()) < 1e-7 * moved
    record, again = read_record(alone), read_record(together)
    assert (again.id, again.steps, again.images_val) == (record.id, record.steps, record.images_val)
    assert len((together / CURVE_CSV).read_text().splitlines()) == 3
    assert not (together / CHECKPOINT_FILE).exists()


@pytest.mark.slow
def test_after_a_rank_was_killed_the_same_command_resumes_to_the_same_bits(tmp_path, together):
    folder = tmp_path / "killed"
    assert "exitcode  : -9" in torchrun("train", folder, 4, succeeds=False)
    before = folder.with_suffix(".steps").read_text().split()
    assert before in (["1", "2", "3"], ["1", "2", "3", "4"])
    assert (folder / CHECKPOINT_FILE).is_file()
    torchrun("train", folder)
    steps = folder.with_suffix(".steps").read_text().split()
    assert steps[len(before) :] in (["4", "5", "6"], ["5", "6"])
    assert (folder / WEIGHTS_FILE).read_bytes() == (together / WEIGHTS_FILE).read_bytes()
    assert (folder / CURVE_CSV).read_bytes() == (together / CURVE_CSV).read_bytes()


def test_one_process_is_as_if_there_were_no_processes():
    processes = TrainingProcesses()
    assert processes.leads
    assert processes.shard is None
    assert processes.mean_gradients([], 1.5) == 1.5
    assert processes.any(True)
    assert not processes.any(False)
    processes.wait()
    processes.check_batch(2)
    x, weight, bias = torch.randn(4, 3, 5, 5), torch.rand(3), torch.rand(3)
    assert batch_norm(x, weight, bias, 1e-5).equal(
        functional.batch_norm(x, None, None, weight, bias, training=True, eps=1e-5)
    )
    torch.manual_seed(0)
    dropped = dropout(x, 0.4)
    torch.manual_seed(0)
    assert dropped.equal(functional.dropout(x, 0.4))


@pytest.mark.parametrize(("batch", "fitting"), [(50, 48), (3, 8)])
def test_batches_without_equal_shares_are_refused(batch, fitting):
    processes = TrainingProcesses(rank=1, count=4)
    processes.check_batch(8)
    with pytest.raises(UsageError, match=rf"4 processes .* batch size of {fitting}\."):
        processes.check_batch(batch)
    assert BatchShard(index=1, count=4).rows(8) == slice(2, 4)
