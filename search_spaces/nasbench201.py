"""The NAS-Bench-201 cell space (Dong and Yang, ICLR 2020).

A cell has four nodes and six edges; every edge carries one of five operations and a
node is the sum of its incoming edges. A network is a stem, three stages of five equal
cells with 16, 32 and 64 channels, a residual block of stride 2 between stages, and a
classifier. Convolution edges are ReLU, convolution, batch norm.

Many of the 15,625 genotypes are one network: edges that no signal passes or that reach
no output, swapped middle nodes, identities in a chain. They share a canonical genotype,
unless they differ in what they compute (the benchmark's own 6,466 classes also merge
cells that run one convolution with cells that run it twice).
"""

import itertools
from functools import cached_property
from typing import Final

import numpy as np

from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError, quoted
from search_spaces.fused_layers import FusedConvolutionShape, convolution, elementwise, global_pool, linear, pool
from search_spaces.operators import Operator
from search_spaces.space import BoolArray, Gene, IntArray, SearchSpace
from search_spaces.task import TaskSpec

OPERATIONS: Final = ("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
EDGES: Final = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) nodes in the order of the published strings."""

_NONE, _SKIP, _POOL, _CONV1, _CONV3 = range(5)
STAGE_WIDTHS: Final = (16, 32, 64)
CELLS_PER_STAGE: Final = 5
NODES: Final = 4

Cell = tuple[int, ...]


def _live(cell: Cell) -> Cell:
    """The cell without edges that lie on no path from input to output."""
    reached, needed = {0}, {NODES - 1}
    for (source, target), operation in zip(EDGES, cell, strict=True):
        if operation != _NONE and source in reached:
            reached.add(target)
    for (source, target), operation in reversed(list(zip(EDGES, cell, strict=True))):
        if operation != _NONE and target in needed:
            needed.add(source)
    return tuple(
        operation if source in reached and target in needed else _NONE
        for (source, target), operation in zip(EDGES, cell, strict=True)
    )


def _expression(cell: Cell) -> str:
    """The expression that the output computes, with sums flattened and sorted."""
    terms: list[tuple[str, ...]] = [("x",)]
    for node in range(1, NODES):
        incoming: list[str] = []
        for (source, target), operation in zip(EDGES, cell, strict=True):
            if target != node or operation == _NONE or not terms[source]:
                continue
            if operation == _SKIP:
                incoming.extend(terms[source])
            else:
                incoming.append(f"{operation}({'+'.join(terms[source])})")
        terms.append(tuple(sorted(incoming)))
    return "+".join(terms[-1])


def _identity(cell: Cell) -> tuple[str, Cell]:
    """A key that is equal for isomorphic cells."""
    live = _live(cell)
    return _expression(live), tuple(sorted(operation for operation in live if operation > _SKIP))


class NasBench201Space(SearchSpace):
    """NAS-Bench-201 bound to a task; one unit per edge, shared by all cells."""

    name = "nasbench201"

    def __init__(self, task: TaskSpec | None = None) -> None:
        """Binds the space to images and classes (published with CIFAR-10's).

        Raises:
            UnsupportedTaskError: if the task has no images, or a side of them is shorter than 4 pixels.
        """
        self.task = task or TaskSpec.image_classification(channels=3, height=32, width=32, classes=10)
        self.image = self.task.image_for(self.name)
        if min(self.image.height, self.image.width) < 4:
            raise UnsupportedTaskError(
                f"nasbench201 halves images twice; {self.image.height}x{self.image.width} is below 4 pixels per side."
            )
        self.genes = tuple(Gene(name=f"edge{s}{t}", choices=OPERATIONS) for s, t in EDGES)
        self.units = ("stem", *(gene.name for gene in self.genes), "head")

    # --- identity ------------------------------------------------------------------

    @cached_property
    def _canonical(self) -> IntArray:
        """Canonical genotypes of all 15,625 cells, indexed in base five."""
        cells = list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))
        representative: dict[tuple[str, Cell], Cell] = {}
        identities = [_identity(cell) for cell in cells]
        for cell, identity in zip(cells, identities, strict=True):
            known = representative.get(identity)
            if known is None or (sum(map(bool, cell)), cell) < (sum(map(bool, known)), known):
                representative[identity] = cell
        return np.array([representative[identity] for identity in identities], dtype=np.int64)

    def canonicalize(self, genotypes: IntArray) -> IntArray:
        """Replaces each genotype by the member of its isomorphism class with the fewest edges."""
        index = genotypes @ (len(OPERATIONS) ** np.arange(len(EDGES))[::-1])
        rows: IntArray = self._canonical[index]
        return rows

    def active(self, genotypes: IntArray) -> BoolArray:
        """All genes are active: the operation ``none`` removes an edge."""
        return np.ones((len(genotypes), len(self.genes)), dtype=np.bool_)

    def connected(self, genotypes: IntArray) -> BoolArray:
        """False for the cell without edges, which represents all disconnected cells."""
        some: BoolArray = (genotypes != _NONE).any(axis=1)
        return some

    def smallest(self) -> IntArray:
        """A single identity from input to output."""
        return self.from_string("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")

    # --- units ---------------------------------------------------------------------

    def unit_keys(self, genotypes: IntArray) -> IntArray:
        """An edge's operation and whether its result is added to another edge's."""
        keys = np.zeros((len(genotypes), len(self.units)), dtype=np.int64)
        filled = np.zeros((len(genotypes), NODES), dtype=np.bool_)
        for edge, (_, target) in enumerate(EDGES):
            operation = genotypes[:, edge]
            present = operation != _NONE
            keys[:, edge + 1] = np.where(present, 2 * operation + filled[:, target], -1)
            filled[:, target] |= present
        return keys

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """An edge's kernels in all fifteen cells; the stem with nothing else, the head with the residual blocks."""
        if self.units[unit] == "stem":
            return (convolution(FusedConvolutionShape(self.image.channels, STAGE_WIDTHS[0], kernel=3), self._size(0)),)
        if self.units[unit] == "head":
            return (*self._between_stages(), *self._classifier())
        operation, added = divmod(key, 2)
        per_stage = [self._edge(operation, bool(added), stage) for stage in range(len(STAGE_WIDTHS))]
        return tuple(operator for operators in per_stage for operator in operators * CELLS_PER_STAGE)

    def _size(self, stage: int) -> tuple[int, int]:
        return -(-self.image.height // 2**stage), -(-self.image.width // 2**stage)

    def _edge(self, operation: int, added: bool, stage: int) -> tuple[Operator, ...]:
        width, size = STAGE_WIDTHS[stage], self._size(stage)
        if operation == _SKIP:
            return (elementwise(width, size, residual=True),) if added else ()
        if operation == _POOL:
            mean = pool(width, size, kernel=3, stride=1)
            return (mean, elementwise(width, size, residual=True)) if added else (mean,)
        return (
            convolution(
                FusedConvolutionShape(width, width, kernel=1 if operation == _CONV1 else 3), size, residual=added
            ),
        )

    def _between_stages(self) -> tuple[Operator, ...]:
        operators: list[Operator] = []
        for stage in range(1, len(STAGE_WIDTHS)):
            before, width = STAGE_WIDTHS[stage - 1], STAGE_WIDTHS[stage]
            large, small = self._size(stage - 1), self._size(stage)
            operators += [
                pool(before, large, kernel=2, stride=2),
                convolution(FusedConvolutionShape(before, width), small),
                convolution(FusedConvolutionShape(before, width, kernel=3, stride=2), large),
                convolution(FusedConvolutionShape(width, width, kernel=3), small, residual=True),
            ]
        return tuple(operators)

    def _classifier(self) -> tuple[Operator, ...]:
        # The last batch norm has no convolution to fold into: like the ReLU it is a part of the pooling.
        channels, size = STAGE_WIDTHS[-1], self._size(len(STAGE_WIDTHS) - 1)
        return global_pool(channels, size, activation="relu"), linear(channels, self.task.classes)

    # --- strings -------------------------------------------------------------------

    def to_string(self, genotype: IntArray) -> str:
        """``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` of the canonical genotype."""
        row = self.canonical_row(genotype)
        nodes = []
        for node in range(1, NODES):
            edges = [(s, OPERATIONS[int(row[e])]) for e, (s, t) in enumerate(EDGES) if t == node]
            nodes.append("|" + "".join(f"{operation}~{source}|" for source, operation in edges))
        return "+".join(nodes)

    def from_string(self, text: str) -> IntArray:
        """The canonical genotype of a published string."""
        tokens = [token for node in text.strip().split("+") for token in node.strip("|").split("|")]
        wanted = [source for source, _ in EDGES]
        choices: list[int] = []
        for token in tokens:
            operation, _, source = token.partition("~")
            if operation not in OPERATIONS or len(choices) >= len(wanted) or source != str(wanted[len(choices)]):
                raise InvalidGenotypeError(
                    f"{quoted(text)}: {quoted(token)} is not an edge of nasbench201 here;"
                    f" operations are {list(OPERATIONS)}."
                )
            choices.append(OPERATIONS.index(operation))
        if len(choices) != len(EDGES):
            raise InvalidGenotypeError(f"{quoted(text)}: {len(choices)} edges; nasbench201 has {len(EDGES)}.")
        return self.canonical_row(np.array(choices, dtype=np.int64))

    def describe(self, genotype: IntArray) -> str:
        """A summary such as ``cell of 3 conv3x3, 1 pool, 2 skips``."""
        row = self.canonical_row(genotype)
        names = {_CONV3: "conv3x3", _CONV1: "conv1x1", _POOL: "pool", _SKIP: "skip"}
        counts = {name: int((row == operation).sum()) for operation, name in names.items()}
        return "cell of " + (", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing")
