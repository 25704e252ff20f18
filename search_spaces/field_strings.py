"""Canonical strings of the form ``d=1-2-3;e=…;r=28;q=…``: a letter for a kind of gene, then its values."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Final

import numpy as np

from search_spaces.errors import InvalidGenotypeError, quoted
from search_spaces.space import Choice, IntArray, SearchSpace

POLICY_FIELD: Final = "q"
_SHORT: Final = {"hard_swish": "hs"}


class FieldStringSpace(SearchSpace):
    """A space whose strings group its genes into lettered fields."""

    @abstractmethod
    def fields(self) -> Mapping[str, tuple[str, ...]]:
        """Gene names by field letter, in the order of the string; those of the policy under ``q``."""

    def to_string(self, genotype: IntArray) -> str:
        """``LETTER=VALUE-VALUE;…``; fields with a single choice and an all-fp32 policy are omitted."""
        canonical = self.canonical_row(genotype)
        texts = []
        for letter, names in self.fields().items():
            columns = [self.gene_index[name] for name in names]
            fixed = all(len(self.genes[c].choices) == 1 for c in columns)
            if fixed or (letter == POLICY_FIELD and not canonical[columns].any()):
                continue
            tokens = (_token(self.genes[c].choices[int(canonical[c])]) for c in columns)
            texts.append(f"{letter}={'-'.join(tokens)}")
        return ";".join(texts)

    def from_string(self, text: str) -> IntArray:
        """The canonical genotype of a string; omitted fields take their first choice."""
        genotype = np.zeros(len(self.genes), dtype=np.int64)
        fields = self.fields()
        seen: set[str] = set()
        for part in text.strip().split(";"):
            letter, _, body = part.partition("=")
            if letter not in fields or letter in seen:
                raise InvalidGenotypeError(
                    f"{quoted(text)}: field {quoted(part)} is unknown or repeated in {self.name}."
                )
            seen.add(letter)
            columns = [self.gene_index[name] for name in fields[letter]]
            tokens = body.split("-")
            if len(tokens) != len(columns):
                raise InvalidGenotypeError(
                    f"{quoted(text)}: field {letter!r} has {len(tokens)} values; {self.name} takes {len(columns)}."
                )
            for column, token in zip(columns, tokens, strict=True):
                gene = self.genes[column]
                allowed = [_token(value) for value in gene.choices]
                if token not in allowed:
                    raise InvalidGenotypeError(
                        f"{quoted(text)}: {gene.name} is {quoted(token)}; allowed are {allowed}."
                    )
                genotype[column] = allowed.index(token)
        needed = {
            letter
            for letter, names in fields.items()
            if letter != POLICY_FIELD and any(len(self.genes[self.gene_index[n]].choices) > 1 for n in names)
        }
        if missing := sorted(needed - seen):
            raise InvalidGenotypeError(f"{quoted(text)}: field {missing[0]!r} is missing for {self.name}.")
        return self.canonical_row(genotype)


def _token(value: Choice) -> str:
    """A value as written in a string; a square size as one side."""
    if isinstance(value, bool):
        return str(int(value))
    text = str(value)
    height, times, width = text.partition("x")
    return height if times and height == width else _SHORT.get(text, text)
