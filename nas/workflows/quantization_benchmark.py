"""What quantization costs in accuracy, by recipe: sub-networks of a supernet, all units in int8 against fp32.

Accuracies are counted on the validation images, on the ONNX graphs that would ship. Networks
have inherited weights, or are finished first; then quantization-aware training is compared, too.
"""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hw_profiles.onnx_graph import load_onnx
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.measuring.preparation import NetworkPreparer, PreparationFailure, Prepared
from nas.measuring.weight_source import ValidationImages, Weights, WeightSource
from nas.progress import Progress
from nas.quantization.activation_ranges import RangeSettings
from nas.quantization.static_quantization import QuantizableGraph, QuantizationRecipe
from nas.store.supernets import StoredSupernet
from nas.training.finish_settings import FinishSettings
from nas.workflows.evaluating import weight_source
from nas.workflows.finishing import finished_source
from nas.workspace import Workspace
from search_spaces.errors import NasError, UsageError
from search_spaces.precision import Precision
from search_spaces.space import IntArray, SearchSpace

RECIPES: Final = {
    "minmax": QuantizationRecipe(ranges=RangeSettings(rule="minmax")),
    "percentile": QuantizationRecipe(ranges=RangeSettings(rule="percentile")),
    "mse": QuantizationRecipe(ranges=RangeSettings(rule="mse")),
    "minmax+bias": QuantizationRecipe(ranges=RangeSettings(rule="minmax"), bias_correction=True),
    "mse+bias": QuantizationRecipe(ranges=RangeSettings(rule="mse"), bias_correction=True),
    "mse+equalization": QuantizationRecipe(ranges=RangeSettings(rule="mse"), equalization=True),
}
TRAINED: Final = "trained"
"""Quantization-aware training, instead of a recipe for ranges."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationBenchmarkRequest:
    """What is compared.

    Raises:
        UsageError: for unknown recipes.
    """

    recipes: tuple[str, ...] = tuple(RECIPES)
    """Names of :data:`RECIPES`."""
    networks: int = 20
    """At least 1; the smallest and the largest first."""
    seed: int = 0
    """Draws them."""
    finish: FinishSettings | None = None
    """How networks are finished before; None compares inherited weights."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.recipes if name not in RECIPES]
        if unknown or not self.recipes:
            raise UsageError(f"--recipes names {', '.join(unknown) or 'none'}; there are {', '.join(RECIPES)}.")


def benchmark_quantization(
    workspace: Workspace, supernet: StoredSupernet, request: QuantizationBenchmarkRequest, progress: Progress
) -> list[QuantizationRow]:
    """Quantizes all units of sampled networks by each recipe; deterministic.

    Finished networks have a row for quantization-aware training, named :data:`TRAINED`, unless it is
    switched off; one that cannot be trained so is reported as progress and has none.

    Args:
        workspace: with the supernet and its data.
        supernet: whose weights are quantized.
        request: recipes and networks.
        progress: is called after each network.

    Raises:
        UsageError: for a space without int8.
        NasError: if a network cannot be prepared or quantized.
    """
    inherited = weight_source(workspace, supernet)
    space = inherited.space
    if "int8" not in space.precisions:
        raise UsageError(f"networks of {space.name} have no int8 policy; there is nothing to compare.")
    chosen = sampled_networks(space, request.networks, request.seed)
    integer = space.with_policy(chosen, "int8")
    source: WeightSource = inherited
    trained: Collection[str] = ()
    if request.finish is not None:
        finished = finished_source(inherited, integer, request.finish, workspace.home.cache, progress)
        source, trained = finished, finished.quantized
    preparer, rows = NetworkPreparer(source), []
    for number, (genotype, quantized) in enumerate(zip(chosen, integer, strict=True)):
        progress.update("quantizing networks", number, len(chosen))
        comparison = _Comparison.of(preparer, space, genotype)
        rows += [comparison.by_recipe(name) for name in request.recipes]
        if space.to_string(quantized) in trained:
            rows.append(comparison.row(TRAINED, _prepared(preparer, quantized).accuracy_val))
    progress.update("quantizing networks", len(chosen), len(chosen))
    return rows


def sampled_networks(space: SearchSpace, count: int, seed: int) -> IntArray:
    """Distinct unquantized genotypes, the smallest and the largest first, shape ``(count, genes)``."""
    drawn = space.sample_spread(4 * count, np.random.default_rng(seed))
    rows = space.unquantized(np.concatenate([np.stack([space.smallest(), space.largest()]), drawn]))
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """One float network, beside which quantized ones are put."""

    summary: str
    prepared: Prepared
    weights: Weights
    validation: ValidationImages
    policy: Mapping[str, Precision]

    @classmethod
    def of(cls, preparer: NetworkPreparer, space: SearchSpace, genotype: IntArray) -> "_Comparison":
        validation = preparer.weights.validation
        if validation is None:
            raise NasError("networks with random weights have no accuracy to compare.")
        return cls(
            summary=space.describe(genotype),
            prepared=_prepared(preparer, genotype),
            weights=preparer.weights,
            validation=validation,
            policy=dict.fromkeys(space.unit_precisions(genotype), "int8"),
        )

    def by_recipe(self, name: str) -> QuantizationRow:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantized.onnx"
            graph = QuantizableGraph.calibrated(self.prepared.onnx, self.weights.calibration, RECIPES[name])
            graph.write(self.policy, path)
            return self.row(name, artifact_accuracy(load_onnx(path), self.validation.images, self.validation.labels))

    def row(self, recipe: str, accuracy: float) -> QuantizationRow:
        return QuantizationRow(
            summary=self.summary,
            recipe=recipe,
            precision="int8",
            accuracy_fp32=self.prepared.accuracy_val,
            accuracy=accuracy,
            images=self.prepared.images_val,
        )


def _prepared(preparer: NetworkPreparer, genotype: IntArray) -> Prepared:
    prepared = preparer.prepare(genotype)
    if isinstance(prepared, PreparationFailure):
        raise NasError(f"candidate {prepared.candidate_id[:12]} cannot be prepared: {prepared.message}")
    return prepared
