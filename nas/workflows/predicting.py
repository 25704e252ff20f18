"""Predictions of stored predictors for candidates, given as canonical strings or ids."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hw_profiles.detect import detect_profiles
from nas.measuring.device_measurements import has_changed_since
from nas.store.predictors import StoredPredictor
from nas.store.store import Store
from nas.workflows.predictor_revisions import load_latency
from nas.workspace import Workspace
from predictors.accuracy import AccuracyPredictor
from predictors.latency import LatencyPredictor
from search_spaces.errors import InvalidGenotypeError, NasError, UnknownNameError, UsageError, quoted
from search_spaces.registry import canonical_name
from search_spaces.space import IntArray, SearchSpace

_ID_START: Final = re.compile(r"[0-9a-f]{6,64}")


class CandidateTextError(UsageError):
    """A text that is not a candidate of the space; ``row`` counts from 0."""

    code: ClassVar[str] = "candidate"

    def __init__(self, row: int, message: str) -> None:
        self.row = row
        self.reason = message
        super().__init__(f"candidate {row + 1}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedCandidate:
    """One candidate's prediction in the predictor's unit: milliseconds, or a fraction."""

    candidate_id: str
    canonical: str
    predicted: float
    interval_90: tuple[float, float]
    outside: bool
    """Whether it lies outside what the predictor was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyAnswer:
    """Predictions of one device's newest revision."""

    predictor: StoredPredictor
    space: SearchSpace
    expected_mape_pct: float
    """Expected error on new networks, in percent."""
    stale: bool
    """Whether the device has changed (its runtime, its processor) or drifted since the measurements."""
    genotypes: IntArray
    candidates: tuple[PredictedCandidate, ...]


def predict_latencies(workspace: Workspace, device: str, space: str | None, texts: Sequence[str]) -> LatencyAnswer:
    """The newest revision's predictions of p50 latency in milliseconds.

    Raises:
        UsageError: if nothing is asked, or the device has no predictor in the space.
        UnknownNameError: for an unknown device or space.
        CandidateTextError: names the first text that is no candidate of the predictor's space.
        RevisionError: if the revision's files are gone or damaged.
    """
    if not texts:
        raise UsageError("no candidates given; give canonical strings or candidate ids, or use --file.")
    stored = newest_latency(workspace.store, device, space)
    predictor = load_latency(workspace.home, stored)
    genotypes = candidate_genotypes(workspace.store, predictor.space, texts)
    known = workspace.store.devices.find(device)
    fingerprint = stored.metrics.get("provenance", {}).get("fingerprint")
    return LatencyAnswer(
        predictor=stored,
        space=predictor.space,
        expected_mape_pct=predictor.expected_mape_pct,
        stale=known is not None and has_changed_since(workspace.store, known.profile, fingerprint, stored.created_at),
        genotypes=genotypes,
        candidates=predicted_candidates(predictor, genotypes),
    )


def newest_latency(store: Store, device: str, space: str | None) -> StoredPredictor:
    """The newest latency revision of a device, in the space named or the only one that it has any in.

    Raises:
        UnknownNameError: for an unknown space, or a device that is neither known nor here.
        UsageError: if there is none, or no space is named and there are several.
    """
    spaces = store.predictors.spaces(device)
    if space is None and len(spaces) > 1:
        raise UsageError(f"{device} has predictors in {', '.join(spaces)}; name one with --space.")
    wanted = canonical_name(space) if space is not None else (spaces[0] if spaces else None)
    found = None if wanted is None else store.predictors.latest(kind="latency", space=wanted, profile_id=device)
    if found is None:
        raise _not_calibrated(store, device, wanted)
    return found


def _not_calibrated(store: Store, device: str, space: str | None) -> UsageError:
    """That a device must be calibrated first, and how; or that there is no such device."""
    known = {stored.profile.id for stored in store.devices.all()}
    here = {profile.id for profile in detect_profiles()}
    if device not in known | here:
        return UnknownNameError("device", device, tuple(sorted(known | here)))
    where = "" if space is None else f" in {space}"
    machine = "" if device in here else " on its machine"
    return UsageError(
        f"{device} has no latency predictor{where} yet;"
        f" run `hwnas calibrate {device} --space {space or 'SPACE'}`{machine} first."
    )


def candidate_genotypes(store: Store, space: SearchSpace, texts: Sequence[str]) -> IntArray:
    """Genotypes of canonical strings of the space or (first digits of) stored candidates' ids, shape ``(n, genes)``.

    Raises:
        CandidateTextError: names the first text that is no candidate of the space.
    """
    rows = [_genotype(store, space, row, text.strip()) for row, text in enumerate(texts)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(space.genes))


def predicted_candidates(
    predictor: LatencyPredictor | AccuracyPredictor, genotypes: IntArray
) -> tuple[PredictedCandidate, ...]:
    """Predictions of canonical genotypes of the predictor's own space."""
    space, prediction, outside = predictor.space, predictor.predict(genotypes), predictor.outside(genotypes)
    return tuple(
        PredictedCandidate(
            candidate_id=space.candidate(genotype).id,
            canonical=space.to_string(genotype),
            predicted=float(prediction.value[row]),
            interval_90=(float(prediction.low[row]), float(prediction.high[row])),
            outside=bool(outside[row]),
        )
        for row, genotype in enumerate(genotypes)
    )


def _genotype(store: Store, space: SearchSpace, row: int, text: str) -> IntArray:
    if not _ID_START.fullmatch(text):
        try:
            return space.from_string(text)
        except InvalidGenotypeError as error:
            raise CandidateTextError(row, str(error)) from error
    matches = store.candidates.beginning_with(text)
    if len(matches) != 1:
        found = "no stored candidate begins" if not matches else "several stored candidates begin"
        raise CandidateTextError(row, f"{found} with the id {quoted(text)}.")
    (stored,) = matches
    candidate = stored.candidate
    if candidate.space != space.name:
        message = f"{quoted(text)} is of the space {candidate.space}, the predictor of {space.name}."
        raise CandidateTextError(row, message)
    if dict(candidate.task) != space.task.as_json():
        raise CandidateTextError(row, f"{quoted(text)} is for other images or classes than the predictor.")
    try:
        (genotype,) = space.canonicalize(space.validate(np.array([stored.genotype], dtype=np.int64)))
    except NasError as error:
        raise CandidateTextError(row, f"{quoted(text)} was stored by another version of its space.") from error
    return np.asarray(genotype, dtype=np.int64)
