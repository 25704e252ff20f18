"""The interface of every search space: a fixed-length integer genotype and its costs.

A *genotype* is a row of choice indices, one per gene: first the architecture's genes,
then the quantization policy's. Populations are arrays of shape ``(n, genes)`` and
every operation works on whole populations. Genes that have no effect (a block past
its stage's depth) are *inactive* and canonically zero, so that one network has one
genotype, one string and one id.

A network is a sequence of *units* (a stem, blocks, a head; a cell's edge). The genes
that shape one unit are folded into one integer, its *key* (-1 where the unit is
absent). Costs are computed once per distinct (unit, key), in plain Python, and
gathered for populations: see :mod:`search_spaces.facts`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import InvalidGenotypeError, quoted
from search_spaces.operators import Operator
from search_spaces.precision import SPECS, Precision
from search_spaces.task import TaskSpec

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Choice = int | float | str | bool

_MOST_LEAN = 1.5
"""Log of the exponent at which a row of :meth:`SearchSpace.sample_spread` is all but one end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gene:
    """One dimension of a space: a name and its ordered choices (cheapest first)."""

    name: str
    choices: tuple[Choice, ...]
    part: Literal["architecture", "policy"] = "architecture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An architecture with a quantization policy: what is searched, stored and returned.

    ``architecture`` and ``policy`` hold the active genes' values alone, so that equal
    networks are equal candidates.
    """

    space: str
    task: Mapping[str, Any]
    """By :meth:`search_spaces.task.TaskSpec.as_json`."""
    architecture: Mapping[str, Choice]
    policy: Mapping[str, Choice]

    def as_json(self) -> dict[str, object]:
        """The canonical JSON object."""
        return {
            "space": self.space,
            "task": dict(self.task),
            "architecture": dict(self.architecture),
            "policy": dict(self.policy),
        }

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class SearchSpace(ABC):
    """A space of networks; the module docstring defines the terms."""

    name: str
    task: TaskSpec
    genes: tuple[Gene, ...]
    units: tuple[str, ...]

    # --- defined by each space ---------------------------------------------------

    @abstractmethod
    def active(self, genotypes: IntArray) -> BoolArray:
        """Active genes, shape ``(n, genes)``."""

    @abstractmethod
    def unit_keys(self, genotypes: IntArray) -> IntArray:
        """Each unit's key, shape ``(n, units)``; -1 where the unit is absent."""

    @abstractmethod
    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators, in order, of one unit in one configuration."""

    @abstractmethod
    def to_string(self, genotype: IntArray) -> str:
        """The canonical string of one genotype, shape ``(genes,)``."""

    @abstractmethod
    def from_string(self, text: str) -> IntArray:
        """The canonical genotype of a string.

        Raises:
            InvalidGenotypeError: if the string is not of this space.
        """

    @abstractmethod
    def describe(self, genotype: IntArray) -> str:
        """A one-line summary of the network for tables."""

    @property
    def configuration(self) -> str:
        """Text for all sizes that the genes do not say: supernets of other configurations have other ids."""
        return ""

    # --- derived -----------------------------------------------------------------

    @cached_property
    def fact_tables(self) -> list[dict[int, NDArray[np.float64]]]:
        """One dictionary per unit from its keys to their cost facts; :mod:`search_spaces.facts` fills them."""
        return [{} for _ in self.units]

    @cached_property
    def cardinalities(self) -> IntArray:
        """Number of choices per gene, shape ``(genes,)``."""
        return np.array([len(gene.choices) for gene in self.genes], dtype=np.int64)

    @cached_property
    def gene_index(self) -> dict[str, int]:
        """Column of each gene by name."""
        return {gene.name: column for column, gene in enumerate(self.genes)}

    @cached_property
    def policy_columns(self) -> IntArray:
        """Columns of the quantization policy's genes."""
        return np.array([c for c, g in enumerate(self.genes) if g.part == "policy"], dtype=np.int64)

    @cached_property
    def precisions(self) -> tuple[str, ...]:
        """Precisions that the policy's genes offer, in the order of their choices; ``fp32`` alone without a policy."""
        offered = [str(choice) for column in self.policy_columns for choice in self.genes[int(column)].choices]
        return tuple(dict.fromkeys(offered)) or ("fp32",)

    @cached_property
    def size_log10(self) -> float:
        """Decimal logarithm of the number of genotypes (inactive genes included)."""
        return float(np.log10(self.cardinalities.astype(np.float64)).sum())

    def validate(self, genotypes: IntArray) -> IntArray:
        """Validates shape and range.

        Raises:
            InvalidGenotypeError: names the first gene that is out of range.
        """
        genotypes = np.asarray(genotypes)
        if genotypes.ndim != 2 or genotypes.shape[1] != len(self.genes) or genotypes.dtype.kind not in "iu":
            raise InvalidGenotypeError(
                f"{self.name} takes integer genotypes of shape (n, {len(self.genes)});"
                f" found {genotypes.dtype} of shape {genotypes.shape}."
            )
        bad = np.argwhere((genotypes < 0) | (genotypes >= self.cardinalities))
        if len(bad):
            row, column = (int(v) for v in bad[0])
            gene = self.genes[column]
            raise InvalidGenotypeError(
                f"{self.name}: gene {gene.name} of row {row} is {int(genotypes[row, column])};"
                f" allowed are 0 to {len(gene.choices) - 1}."
            )
        return genotypes.astype(np.int64)

    def canonicalize(self, genotypes: IntArray) -> IntArray:
        """Sets inactive genes to zero; equal networks become equal rows."""
        return np.where(self.active(genotypes), genotypes, 0)

    def canonical_row(self, genotype: IntArray) -> IntArray:
        """One canonical genotype, shape ``(genes,)``."""
        row: IntArray = self.canonicalize(genotype[None])[0]
        return row

    def connected(self, genotypes: IntArray) -> BoolArray:
        """Whether each canonical genotype's output depends on its input, shape ``(n,)``.

        All, unless a space has others: those have a cost and a string, but cannot be built.
        """
        return np.ones(len(genotypes), dtype=np.bool_)

    def all_networks(self) -> IntArray:
        """Every network, as distinct canonical genotypes, shape ``(n, genes)``.

        For small spaces alone: takes memory for all of :attr:`size_log10`'s genotypes.
        """
        genotypes = np.indices(tuple(self.cardinalities)).reshape(len(self.genes), -1).T.astype(np.int64)
        distinct = np.unique(self.canonicalize(genotypes), axis=0)
        return distinct[self.connected(distinct)]

    def sample(self, count: int, rng: np.random.Generator) -> IntArray:
        """Uniform random canonical genotypes, shape ``(count, genes)``."""
        draws = rng.integers(0, self.cardinalities, size=(count, len(self.genes)), dtype=np.int64)
        return self.canonicalize(draws)

    def sample_spread(self, count: int, rng: np.random.Generator) -> IntArray:
        """Canonical genotypes of every size and share of quantized units, shape ``(count, genes)``.

        Uniform draws crowd around the middle of a space. Here the genes of a row lean together
        to the cheap or the expensive end, as they do along a Pareto front (compare the sampling
        of AttentiveNAS, Wang et al., CVPR 2021).
        """
        lean = rng.uniform(-_MOST_LEAN, _MOST_LEAN, size=(count, 1))
        places = rng.random((count, len(self.genes))) ** np.exp(lean)
        genotypes = np.minimum((places * self.cardinalities).astype(np.int64), self.cardinalities - 1)
        columns = self.policy_columns
        if len(columns):
            share = rng.choice((0.0, 0.25, 0.5, 0.75, 1.0), size=(count, 1))
            quantized = rng.random((count, len(columns))) < share
            reduced: IntArray = self.cardinalities[columns] - 1
            if (reduced > 1).any():
                reduced = rng.integers(1, np.maximum(self.cardinalities[columns], 2), size=quantized.shape)
            genotypes[:, columns] = np.where(quantized, reduced, 0)
        return self.canonicalize(genotypes)

    def smallest(self) -> IntArray:
        """The genotype with every gene's first choice, shape ``(genes,)``."""
        return self.canonical_row(np.zeros(len(self.genes), dtype=np.int64))

    def middle(self) -> IntArray:
        """The genotype with every architecture gene's middle choice (the cheaper one of two), unquantized."""
        genotype = (self.cardinalities - 1) // 2
        genotype[self.policy_columns] = 0
        return self.canonical_row(genotype)

    def largest(self) -> IntArray:
        """The genotype with every architecture gene's last choice, unquantized."""
        genotype = self.cardinalities - 1
        genotype[self.policy_columns] = 0
        return self.canonical_row(genotype)

    def with_policy(self, genotypes: IntArray, choice: Choice) -> IntArray:
        """The same architectures with one precision everywhere, canonical."""
        out = np.array(genotypes, dtype=np.int64)
        for column in self.policy_columns:
            out[..., column] = self.genes[column].choices.index(choice)
        return self.canonicalize(np.atleast_2d(out)).reshape(out.shape)

    def unquantized(self, genotypes: IntArray) -> IntArray:
        """The same architectures with the policy's first choice everywhere, canonical; same shape."""
        out = np.array(genotypes, dtype=np.int64)
        out[..., self.policy_columns] = 0
        return self.canonicalize(np.atleast_2d(out)).reshape(out.shape)

    def operators(self, genotype: IntArray) -> tuple[Operator, ...]:
        """The fused operators of one genotype, in order."""
        keys = self.unit_keys(genotype[None])[0]
        return tuple(
            operator
            for unit, key in enumerate(keys.tolist())
            if key >= 0
            for operator in self.unit_operators(unit, key)
        )

    def values(self, genotype: IntArray) -> dict[str, Choice]:
        """Active genes' values by name."""
        active = self.active(genotype[None])[0]
        return {
            gene.name: gene.choices[int(genotype[column])] for column, gene in enumerate(self.genes) if active[column]
        }

    def candidate(self, genotype: IntArray) -> Candidate:
        """The candidate of one genotype, which need not be canonical."""
        canonical = self.canonical_row(genotype)
        values = self.values(canonical)
        parts = {gene.name: gene.part for gene in self.genes}
        return Candidate(
            space=self.name,
            task=self.task.as_json(),
            architecture={name: value for name, value in values.items() if parts[name] == "architecture"},
            policy={name: value for name, value in values.items() if parts[name] == "policy"},
        )

    def genotype(self, values: Mapping[str, Choice]) -> IntArray:
        """The canonical genotype of gene values; omitted genes take their first choice.

        Raises:
            InvalidGenotypeError: for an unknown gene or a value that is not a choice.
        """
        genotype = np.zeros(len(self.genes), dtype=np.int64)
        for name, value in values.items():
            if name not in self.gene_index:
                raise InvalidGenotypeError(f"{self.name} has no gene {quoted(name)}.")
            column = self.gene_index[name]
            choices = self.genes[column].choices
            if value not in choices:
                raise InvalidGenotypeError(f"{self.name}: gene {name} is {quoted(value)}; allowed are {list(choices)}.")
            genotype[column] = choices.index(value)
        return self.canonical_row(genotype)

    def unit_precisions(self, genotype: IntArray) -> dict[str, Precision]:
        """Precision of each present unit by the policy's genes, ``UNIT.precision``; empty without a policy."""
        values = self.values(self.canonical_row(genotype))
        return {
            gene.name.removesuffix(".precision"): cast("Precision", values[gene.name])
            for gene in self.genes
            if gene.part == "policy" and gene.name in values
        }

    def describe_precision(self, genotype: IntArray) -> str:
        """``fp32``, ``int8``, ``mixed (5/9 int8)`` or, with more precisions, ``mixed (5/9 int8, 1/9 w4a8)``."""
        each = list(self.unit_precisions(genotype).values())
        counts = {name: each.count(name) for name in self.precisions if name in each}
        if len(counts) <= 1:
            return next(iter(counts), "fp32")
        reduced = [f"{count}/{len(each)} {name}" for name, count in counts.items() if SPECS[name].quantized]
        return f"mixed ({', '.join(reduced)})"

    def to_strings(self, genotypes: IntArray) -> list[str]:
        """Canonical strings of a population."""
        return [self.to_string(row) for row in genotypes]

    def from_strings(self, texts: Sequence[str]) -> IntArray:
        """Genotypes of canonical strings, shape ``(n, genes)``; errors name the row."""
        rows = []
        for number, text in enumerate(texts, start=1):
            try:
                rows.append(self.from_string(text))
            except InvalidGenotypeError as error:
                raise InvalidGenotypeError(f"row {number}: {error}") from error
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.genes))


SpaceFactory = Callable[[TaskSpec | None], SearchSpace]
"""Binds a space to a task; None is the task that it was published with.

Raises :class:`search_spaces.errors.UnsupportedTaskError` where the space cannot take the task.
"""
