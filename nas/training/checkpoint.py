"""Checkpoints: one safetensors file with all tensors and, in its header, the state as JSON.

One file is renamed into place at once, so weights, optimizer and state never disagree.
A SHA-256 over the tensors finds damage that the format itself does not.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nas.home import write_atomically
from search_spaces.errors import NasError


class CheckpointError(NasError):
    """A checkpoint that is damaged or belongs to another training."""

    code: ClassVar[str] = "bad-checkpoint"


CHECKPOINT_SCHEMA: Final = "hwnas.checkpoint/2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Tensors by name and a JSON object."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, hexadecimal, over names, shapes, dtypes and bytes in name order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Writes a checkpoint atomically.

    Raises:
        DiskFullError: if the disk has no space; an earlier checkpoint is kept.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    metadata = {
        "schema": CHECKPOINT_SCHEMA,
        "state": json.dumps(checkpoint.state, sort_keys=True),
        "sha256": tensors_sha256(tensors),
    }
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        CheckpointError: if it is missing, cut short, damaged or of another version.
    """
    advice = "delete it to train from the start"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        state = json.loads(metadata["state"])
        stated, schema = metadata["sha256"], metadata.get("schema")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read ({error}); {advice}.") from error
    if schema != CHECKPOINT_SCHEMA:
        raise CheckpointError(
            f"the checkpoint {path} was written by another version of hwnas ({schema or 'an earlier one'}, not"
            f" {CHECKPOINT_SCHEMA}); resume it with that version, or {advice}."
        )
    if tensors_sha256(tensors) != stated:
        raise CheckpointError(f"the checkpoint {path} is damaged (its tensors' SHA-256 differs); {advice}.")
    return Checkpoint(tensors=tensors, state=state)
