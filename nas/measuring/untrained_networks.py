"""Networks with seeded random weights as files: what a latency can be measured of without training.

Latency depends on shapes and precisions, not on weights, as long as activations keep
a usual size: values that die out become denormal numbers, which processors handle
slowly. So batch norm is set from random images before it is folded.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.network_files import NetworkFiles
from nas.home import sha256_of, write_bytes
from nas.measuring.deployed_files import deployed_files, write_deployed_files
from nas.measuring.preparation import PreparationFailure
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace

_RECORD: Final = "untrained.json"
_REFERENCE_IMAGES: Final = 4
_RANGE_IMAGES: Final = 8
"""Images that activation ranges are taken from."""
_NORM_IMAGES: Final = 16
_QUANTIZED_TOLERANCE: Final = 0.3
"""An untrained network says nearly the same of every image, so that rounding weighs more in what it says."""
_SEED: Final = 0

UntrainedOutcome = NetworkFiles | PreparationFailure


class UntrainedPreparer:
    """Writes networks of one space into ``cache``, one folder a candidate; the same ones on every run."""

    def __init__(self, space: SearchSpace, cache: Path) -> None:
        self._space = space
        self._cache = cache

    def prepare(self, genotype: IntArray) -> UntrainedOutcome:
        """The candidate's files; made unless they are there. Expected failures are values.

        Args:
            genotype: canonical, shape ``(genes,)``.
        """
        files = self._files(genotype)
        try:
            if not _is_complete(files):
                files.onnx.parent.mkdir(parents=True, exist_ok=True)
                self._make(genotype, files)
        except (NasError, RuntimeError, ValueError) as error:
            return PreparationFailure(candidate_id=files.name, message=" ".join(str(error).split())[:500])
        return files

    def find(self, genotype: IntArray) -> NetworkFiles | None:
        """The candidate's files where they are there already; needs no torch."""
        files = self._files(genotype)
        return files if _is_complete(files) else None

    def _files(self, genotype: IntArray) -> NetworkFiles:
        candidate = self._space.candidate(genotype)
        folder = self._cache / candidate.id[:2] / candidate.id
        files = deployed_files(folder, candidate.id, quantized="int8" in candidate.policy.values())
        return replace(files, quantized_tolerance=_QUANTIZED_TOLERANCE)

    def _make(self, genotype: IntArray, files: NetworkFiles) -> None:
        # torch takes seconds to import; the process that owns the pool does without.
        import torch  # noqa: PLC0415

        from nas.evaluation.batch_norm import recalibrate_batch_norm  # noqa: PLC0415
        from nas.networks.building import build_network  # noqa: PLC0415

        rng = np.random.default_rng(_SEED)

        def images(count: int) -> NDArray[np.float32]:
            return rng.standard_normal((count, *self._space.task.shape), dtype=np.float32)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            network = build_network(self._space, genotype)
        recalibrate_batch_norm(network, torch.from_numpy(images(_NORM_IMAGES)))
        write_deployed_files(
            network.deploy(), files, reference=images(_REFERENCE_IMAGES), calibration=images(_RANGE_IMAGES)
        )
        record = {"onnx_sha256": sha256_of(files.onnx)}
        write_bytes(files.onnx.with_name(_RECORD), json.dumps(record).encode())


def _is_complete(files: NetworkFiles) -> bool:
    """Whether the record, which is written last, is there and speaks of this graph."""
    try:
        record = json.loads(files.onnx.with_name(_RECORD).read_text("utf-8"))
        return bool(sha256_of(files.onnx) == record["onnx_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
