"""What quantization costs in accuracy, by recipe: sub-networks of a supernet, all units in int8 against fp32.

Accuracies are counted on the validation images, on the ONNX graphs that would ship.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hw_profiles.onnx_graph import load_onnx
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.measuring.preparation import NetworkPreparer, PreparationFailure
from nas.measuring.supernet_weights import SupernetWeightSource
from nas.progress import Progress
from nas.quantization.activation_ranges import RangeSettings
from nas.quantization.static_quantization import QuantizableGraph, QuantizationRecipe
from search_spaces.errors import NasError, UsageError
from search_spaces.space import IntArray, SearchSpace

RECIPES: Final = {
    "minmax": QuantizationRecipe(),
    "percentile": QuantizationRecipe(ranges=RangeSettings(rule="percentile")),
    "mse": QuantizationRecipe(ranges=RangeSettings(rule="mse")),
    "minmax+bias": QuantizationRecipe(bias_correction=True),
    "mse+bias": QuantizationRecipe(ranges=RangeSettings(rule="mse"), bias_correction=True),
}
_COLLAPSED: Final = 0.5
"""Share of the float accuracy that is lost in a collapse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationRow:
    """One network under one recipe."""

    summary: str
    recipe: str
    precision: str
    accuracy_fp32: float
    """Fraction of the validation images, of the float graph."""
    accuracy: float
    """The same of the quantized graph."""
    images: int

    @property
    def loss_points(self) -> float:
        """Percentage points lost; negative where quantization gained."""
        return 100.0 * (self.accuracy_fp32 - self.accuracy)

    @property
    def collapsed(self) -> bool:
        """Whether more than half of the float accuracy is gone."""
        return self.accuracy < _COLLAPSED * self.accuracy_fp32

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self) | {"loss_points": self.loss_points, "collapsed": self.collapsed}


def benchmark_quantization(
    source: SupernetWeightSource, recipes: Sequence[str], networks: int, seed: int, progress: Progress
) -> list[QuantizationRow]:
    """Quantizes all units of sampled networks by each recipe; deterministic.

    Args:
        source: the supernet's weights and images.
        recipes: names of :data:`RECIPES`.
        networks: how many, at least 1; the smallest and the largest first.
        seed: draws them.
        progress: is called after each network.

    Raises:
        UsageError: for an unknown recipe, or a space without int8.
        NasError: if a network cannot be prepared or quantized.
    """
    unknown = [name for name in recipes if name not in RECIPES]
    if unknown or not recipes:
        raise UsageError(f"--recipes names {', '.join(unknown) or 'none'}; there are {', '.join(RECIPES)}.")
    space = source.space
    if "int8" not in space.precisions:
        raise UsageError(f"networks of {space.name} have no int8 policy; there is nothing to compare.")
    preparer, rows = NetworkPreparer(source), []
    chosen = sampled_networks(space, networks, seed)
    for number, genotype in enumerate(chosen):
        progress.update("quantizing networks", number, len(chosen))
        rows += _network_rows(preparer, space, genotype, recipes)
    progress.update("quantizing networks", len(chosen), len(chosen))
    return rows


def sampled_networks(space: SearchSpace, count: int, seed: int) -> IntArray:
    """Distinct unquantized genotypes, the smallest and the largest first, shape ``(count, genes)``."""
    drawn = space.sample_spread(4 * count, np.random.default_rng(seed))
    rows = space.unquantized(np.concatenate([np.stack([space.smallest(), space.largest()]), drawn]))
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:count]


def _network_rows(
    preparer: NetworkPreparer,
    space: SearchSpace,
    genotype: IntArray,
    recipes: Sequence[str],
) -> list[QuantizationRow]:
    prepared = preparer.prepare(genotype)
    if isinstance(prepared, PreparationFailure):
        raise NasError(f"candidate {prepared.candidate_id[:12]} cannot be prepared: {prepared.message}")
    weights = preparer.weights
    validation = weights.validation
    assert validation is not None  # a supernet's
    policy = dict.fromkeys(space.unit_precisions(genotype), "int8")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in recipes:
            path = Path(folder) / "quantized.onnx"
            QuantizableGraph.calibrated(prepared.onnx, weights.calibration, RECIPES[name]).write(policy, path)
            rows.append(
                QuantizationRow(
                    summary=space.describe(genotype),
                    recipe=name,
                    precision="int8",
                    accuracy_fp32=prepared.accuracy_val,
                    accuracy=artifact_accuracy(load_onnx(path), validation.images, validation.labels),
                    images=len(validation.labels),
                )
            )
    return rows
