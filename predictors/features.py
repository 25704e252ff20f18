"""The features of a network: masked encoding, cost facts, known devices' predictions.

Every block is centred and scaled by a reference population of the space, never by the
samples at hand: a scale estimated from a dozen of them would be noise. A block's rows
have a mean squared norm of one, so that blocks of any width weigh alike in a kernel.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from search_spaces.encoding import Encoding
from search_spaces.facts import FACTS, CostFacts
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]

SCHEMA: Final = "hwnas.features/2"
"""Raise the number whenever the meaning of a feature changes: old revisions are then refused."""

_REFERENCE_SIZE: Final = 1024
_REFERENCE_SEED: Final = 20_240_229


class LatencySource(Protocol):
    """A known device's model, whose predictions inform those for another device."""

    @property
    def space(self) -> SearchSpace:
        """The space that the model predicts for."""
        ...

    def log_latency(self, genotypes: IntArray) -> FloatArray:
        """Natural logarithm of the predicted milliseconds, shape ``(n,)``."""
        ...

    @property
    def residuals(self) -> FloatArray:
        """Log errors on networks that the model was not fitted to, shape ``(any,)``."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the model into a new folder."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Feature blocks of ``n`` networks.

    ``encoding``, ``facts`` (logarithms) and ``sources`` are centred and scaled, shapes
    ``(n, ...)``; ``loads`` are the facts themselves, non-negative, each divided by its
    mean over the reference population. ``policy`` has one column per policy gene and reduced
    precision, zero where the unit is absent or in another precision; it is not centred, so that an
    unquantized network has a row of zeros. ``source_loads`` are the sources' predicted
    milliseconds, each divided by its geometric mean over the reference population.
    """

    encoding: FloatArray
    facts: FloatArray
    sources: FloatArray
    loads: FloatArray
    policy: FloatArray
    source_loads: FloatArray

    def __len__(self) -> int:
        return len(self.encoding)

    def take(self, rows: IntArray) -> "Features":
        """The blocks of some rows."""
        return Features(
            encoding=self.encoding[rows],
            facts=self.facts[rows],
            sources=self.sources[rows],
            loads=self.loads[rows],
            policy=self.policy[rows],
            source_loads=self.source_loads[rows],
        )

    def without_sources(self, numbers: IntArray) -> "Features":
        """The blocks as if some sources were not known."""
        count = self.sources.shape[1]
        scale = np.sqrt(count / max(count - len(numbers), 1))
        return replace(
            self,
            sources=np.delete(self.sources, numbers, axis=1) * scale,
            source_loads=np.delete(self.source_loads, numbers, axis=1),
        )

    def block(self, name: str) -> FloatArray:
        """A scaled block by name: ``encoding``, ``facts``, ``sources`` or ``policy``."""
        blocks = {"encoding": self.encoding, "facts": self.facts, "sources": self.sources, "policy": self.policy}
        return blocks[name]

    @property
    def columns(self) -> FloatArray:
        """All scaled blocks side by side."""
        return np.hstack([self.encoding, self.facts, self.sources, self.policy])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scaling:
    """Mean and scale of a block's informative columns."""

    columns: IntArray
    mean: FloatArray
    scale: FloatArray

    @classmethod
    def from_values(cls, values: FloatArray) -> "_Scaling":
        deviation = values.std(axis=0)
        columns = np.flatnonzero(deviation > 1e-9).astype(np.int64)
        return cls(
            columns=columns,
            mean=values[:, columns].mean(axis=0),
            scale=deviation[columns] * np.sqrt(max(len(columns), 1)),
        )

    def apply(self, values: NDArray[np.floating]) -> FloatArray:
        whole = len(self.columns) == values.shape[1]
        scaled = (values if whole else values[:, self.columns]).astype(np.float64)
        # In place: a large population's block is allocated once, not once per step.
        scaled -= self.mean
        scaled /= self.scale
        return scaled


class FeatureExtractor:
    """Features of one space's networks, with or without known devices."""

    def __init__(
        self, space: SearchSpace, sources: Sequence[LatencySource] = (), population: IntArray | None = None
    ) -> None:
        """Scales by a reference population: canonical genotypes, or a seeded sample of the space."""
        self.space = space
        self.sources = tuple(sources)
        rng = np.random.default_rng(_REFERENCE_SEED)
        if population is None:
            reference = space.sample(_REFERENCE_SIZE, rng)
        elif len(population) > _REFERENCE_SIZE:
            reference = population[np.sort(rng.choice(len(population), _REFERENCE_SIZE, replace=False))]
        else:
            reference = population
        self.reference = reference
        self._encoding = Encoding(space)
        self._facts = CostFacts(space)
        facts = self._facts.of(reference)
        self._encoding_scaling = _Scaling.from_values(self._encoding.of(reference).astype(np.float64))
        self._facts_scaling = _Scaling.from_values(np.log1p(facts))
        logs = self.source_values(reference)
        self._sources_scaling = _Scaling.from_values(logs)
        self._mean_logs = logs.mean(axis=0)
        self._mean_loads = np.maximum(facts.mean(axis=0), 1.0)
        self._kept_loads = self._distinct_loads(facts)
        self._latest: tuple[bytes, Features] | None = None

    @staticmethod
    def _distinct_loads(facts: FloatArray) -> IntArray:
        """Columns that vary; of identical ones the first."""
        varying = np.flatnonzero(facts.std(axis=0) > 0)
        _, first = np.unique(facts[:, varying], axis=1, return_index=True)
        return np.sort(varying[first]).astype(np.int64)

    def source_values(self, genotypes: IntArray) -> FloatArray:
        """The sources' predicted log milliseconds of canonical genotypes, shape ``(n, sources)``."""
        if not self.sources:
            return np.zeros((len(genotypes), 0))
        return np.stack([source.log_latency(genotypes) for source in self.sources], axis=1)

    def encode(self, genotypes: IntArray) -> Features:
        """Features of canonical genotypes; the latest are kept, since several models often ask for the same."""
        key = hashlib.sha256(np.ascontiguousarray(genotypes).tobytes()).digest()
        latest = self._latest  # another thread may replace it
        if latest is None or latest[0] != key:
            latest = self._latest = key, self._compute(genotypes)
        return latest[1]

    def _compute(self, genotypes: IntArray) -> Features:
        facts = self._facts.of(genotypes)
        logs = self.source_values(genotypes)
        return Features(
            encoding=self._encoding_scaling.apply(self._encoding.of(genotypes)),
            facts=self._facts_scaling.apply(np.log1p(facts)),
            sources=self._sources_scaling.apply(logs),
            loads=facts[:, self._kept_loads] / self._mean_loads[self._kept_loads],
            policy=np.zeros((len(genotypes), 0)),
            source_loads=np.exp(logs - self._mean_logs),
        )

    def encode_parts(self, genotypes: IntArray) -> Features:
        """Features of the unquantized architectures, with the policy in a block of its own.

        This is how accuracy is seen: the architecture decides most of it, and precision
        takes a little away.
        """
        columns = self.space.policy_columns
        plain = genotypes.copy()
        plain[:, columns] = 0
        reduced = range(1, int(self.space.cardinalities[columns].max(initial=1)))
        policy = np.hstack([np.zeros((len(genotypes), 0)), *(genotypes[:, columns] == choice for choice in reduced)])
        return replace(self.encode(plain), policy=policy / np.sqrt(max(len(columns), 1)))

    def facts(self, genotypes: IntArray) -> FloatArray:
        """The raw cost facts, shape ``(n, len(FACTS))``."""
        return self._facts.of(genotypes)


def schema_hash(space: SearchSpace) -> str:
    """SHA-256 of all that gives features their meaning: space, task, genes, facts, schema."""
    meaning = {
        "schema": SCHEMA,
        "space": space.name,
        "task": space.task.as_json(),
        "genes": [[gene.name, list(gene.choices), gene.part] for gene in space.genes],
        "facts": list(FACTS),
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
