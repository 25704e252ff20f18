"""From a search's evaluations to a verified front.

Finalists and baselines are timed again from the very files that ship, in a fresh
session, and their test accuracy is counted once, on the ONNX graph that ships. The
predictors are refitted to everything measured, so that each member carries what was
predicted of it beside what was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hw_profiles.detect import detect_profiles
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.measuring import MeasuringSession
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.onnxruntime_runtime import load_onnx
from nas.artifact_store import ArtifactStore
from nas.candidates.evaluator import known_latencies
from nas.candidates.preparation import PreparationFailure, Prepared
from nas.candidates.preparation_pool import PreparationPool
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.fronts.front import Baselines, Front, Latency, Member, pareto_members
from nas.fronts.manifest import InputFormat, build_manifest, manifest_bytes
from nas.home import write_bytes
from nas.progress import Progress
from nas.quantization.onnx_export import INPUT_NAME, OUTPUT_NAME
from nas.search.outcome import Outcome
from nas.search.pareto import non_dominated
from nas.store.artifacts import Artifact, ArtifactKind
from nas.store.evaluations import Evaluation
from nas.store.leases import Lease
from nas.store.supernets import StoredSupernet
from nas.workflows.evaluating import evaluator
from nas.workflows.fitting import FIT_SEED, fit_latency, fit_predictors, latency_samples
from nas.workflows.workspace import Workspace, space_of
from predictors.latency import LatencyPredictor
from predictors.prediction import Prediction
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace
