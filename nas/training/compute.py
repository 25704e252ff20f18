"""The device of a training: the CPU, or a CUDA GPU if there is one."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch

from search_spaces.errors import UsageError

DeviceName = Literal["auto", "cpu", "cuda"]
DEVICE_NAMES: Final[tuple[DeviceName, ...]] = get_args(DeviceName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """The device and number format of a training.

    On CUDA, networks run in bfloat16 where the GPU has it (weights, losses and batch-norm statistics stay
    float32), one after the other. On the processor, they run beside each other in float32.

    Attributes:
        device: ``auto`` takes a GPU if there is one.
        threads: Threads on the processor; None takes one per core.
    """

    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICE_NAMES:
            raise UsageError(f"the training device is {self.device!r}; allowed are {', '.join(DEVICE_NAMES)}.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError(
                "there is no CUDA GPU that this PyTorch can use; train with --device-train cpu, or install a CUDA"
                " build of PyTorch."
            )

    @property
    def torch_device(self) -> torch.device:
        """The device; under ``torchrun``, each process of a host has a GPU of its own."""
        if self.device == "cpu" or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())

    @property
    def thread_count(self) -> int:
        """Threads on the processor, at least 1."""
        return self.threads or os.cpu_count() or 1


def reduced_precision(device: torch.device) -> AbstractContextManager[object]:
    """Inside, operators on a GPU that has bfloat16 compute in it; nothing changes elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
