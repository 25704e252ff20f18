from contextlib import nullcontext

import pytest
import torch

from nas.evaluation.accuracy import evaluate_subnet
from nas.training.compute import Compute, reduced_precision
from nas.training.record import load_supernet
from nas.training.trainer import train_supernet
from search_spaces.errors import UsageError
from tests.nas.training.test_network_training import PREPARED
from tests.nas.training.test_trainer import DATA, SETTINGS, SPACE

NO_GPU = "there is no CUDA GPU"


def test_the_processor_is_taken_where_it_is_asked_for_or_there_is_no_gpu():
    assert Compute(device="cpu").torch_device.type == "cpu"
    assert Compute().torch_device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert isinstance(reduced_precision(torch.device("cpu")), nullcontext)


def test_threads_default_to_the_cores():
    assert Compute(threads=3).thread_count == 3
    assert Compute().thread_count >= 1


def test_unknown_devices_are_refused():
    with pytest.raises(UsageError, match="'gpu'; allowed are auto, cpu, cuda"):
        Compute(device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_a_gpu_that_is_not_there_is_refused_in_one_sentence():
    with pytest.raises(UsageError, match=r"no CUDA GPU .* --device-train cpu"):
        Compute(device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_a_training_on_a_gpu_gives_weights_that_are_read_on_the_processor(tmp_path):
    record = train_supernet(SPACE, DATA, SETTINGS, tmp_path, compute=Compute(device="cuda"))

    supernet, _ = load_supernet(tmp_path)
    _, share = evaluate_subnet(
        supernet,
        SPACE.largest(),
        recalibration_images=PREPARED.recalibration_images,
        images=PREPARED.validation_images,
        labels=PREPARED.validation_labels,
    )
    assert share == pytest.approx(record.accuracy_largest, abs=0.05)
