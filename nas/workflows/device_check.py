"""Checks a device: times a few networks several times each, and summarizes the timings in a report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hw_profiles.bench import Bench, BenchFailure, CompiledNetwork, Timing
from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import MeasurementFailure
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.reading import chosen_reading
from nas.measuring.context import DeviceContext
from nas.measuring.device_bench import raw_bench
from nas.measuring.preparation import PreparationFailure
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.random_weights import RandomWeightSource
from nas.workflows.device_check_report import DeviceCheckReport, Repeatability
from nas.workflows.searching import LATENCY_MARGIN_STDS
from search_spaces.errors import UsageError
from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

MIN_REPEATS: Final = 3
DEFAULT_REPEATS: Final = 5
_MIDDLE_OF: Final = 33
_DRIFT_ERRORS: Final = 3.0
"""Standard errors of the slope from which on the anchor's trend is called a drift."""
_LEAST_DRIFT: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedNetwork:
    """One network's timings, in the order taken."""

    candidate_id: str
    size: str
    """``smallest`` or ``middle`` of its space."""
    timings: tuple[Timing, ...]


def check_device(context: DeviceContext, repeats: int = DEFAULT_REPEATS) -> DeviceCheckReport:
    """Times the smallest and a middle network of the space, ``repeats`` times each, beside the largest one.

    Each repeat starts in a fresh process. Nothing is stored but the device's profile.

    Raises:
        UsageError: for too few repeats.
        MeasuringError: if one of the three networks cannot be compiled or timed.
    """
    if repeats < MIN_REPEATS:
        raise UsageError(f"{repeats} repeats are too few to estimate repeatability; give at least {MIN_REPEATS}.")
    space = context.space
    context.store.devices.put(context.profile)
    source = RandomWeightSource.from_space(space, context.workspace.home.cache / "random")
    genotypes = [space.largest(), space.smallest(), middle_network(space)]
    with PreparationPool(source) as pool, raw_bench(context, source.key) as bench:
        anchor, *checked = _compiled(bench, pool, genotypes)
        timings = _timings(context, bench, checked, anchor, repeats)
    networks = [
        RepeatedNetwork(candidate_id=network.files.name, size=size, timings=tuple(taken))
        for network, size, taken in zip(checked, ("smallest", "middle"), timings, strict=True)
    ]
    return summarize_timings(context, networks, bench.settings)


def _compiled(bench: Bench, pool: PreparationPool, genotypes: Sequence[IntArray]) -> list[CompiledNetwork]:
    files = []
    for one in pool.prepare(genotypes):
        if isinstance(one, PreparationFailure):
            raise MeasuringError(f"network {one.candidate_id[:12]} cannot be made: {one.message}")
        files.append(one.network_files)
    compiled = []
    for network, artifact in zip(files, bench.compile(files), strict=True):
        if isinstance(artifact, MeasurementFailure):
            raise MeasuringError(f"{bench.profile.id} cannot compile network {network.name[:12]}: {artifact.message}")
        compiled.append(CompiledNetwork(files=network, artifact=artifact))
    return compiled


def _timings(
    context: DeviceContext, bench: Bench, checked: Sequence[CompiledNetwork], anchor: CompiledNetwork, repeats: int
) -> list[list[Timing]]:
    """Of each network, in the order taken."""
    timings: list[list[Timing]] = [[] for _ in checked]
    for repeat in range(repeats):
        for number, network in enumerate(checked):
            timing = bench.time(network, anchor, fresh=number == 0)
            if isinstance(timing, BenchFailure):
                raise MeasuringError(
                    f"{bench.profile.id} cannot time network {network.files.name[:12]}: {timing.message}"
                )
            timings[number].append(timing)
            done = repeat * len(checked) + number + 1
            context.progress.update(f"timing on {bench.profile.id}", done, repeats * len(checked))
    return timings


def middle_network(space: SearchSpace) -> IntArray:
    """The network with the median number of MACs among some drawn ones, in fp32; shape ``(genes,)``."""
    drawn = space.unquantized(space.sample(_MIDDLE_OF, np.random.default_rng(0)))
    macs = CostFacts(space).column("macs", drawn)
    middle: IntArray = drawn[np.argsort(macs, kind="stable")[len(drawn) // 2]]
    return middle


def summarize_timings(
    context: DeviceContext, networks: Sequence[RepeatedNetwork], settings: MeasuringSettings
) -> DeviceCheckReport:
    """The report on a device from the same number of timings of each network."""
    profile = context.profile
    in_order = [timing for repeat in zip(*(one.timings for one in networks), strict=True) for timing in repeat]
    anchors_ms = np.array([1.0 / chosen_reading(timing, 1.0, settings)[0].anchor_factor for timing in in_order])
    reference_ms = float(np.median(anchors_ms))
    judged = tuple(_repeatability(one, reference_ms, settings) for one in networks)
    repeatability_pct = float(np.median([one.corrected_pct for one in judged]))
    conditions = [timing.conditions for timing in in_order if timing.conditions is not None]
    busy = float(np.median([share for timing in in_order for share in timing.attempts[-1].busy]))
    used = [one.cores_used for one in conditions if one.cores_used is not None]
    stolen = [one.steal for one in conditions if one.steal is not None]
    return DeviceCheckReport(
        device=profile.id,
        fingerprint=profile.fingerprint,
        repeats=len(networks[0].timings),
        networks=judged,
        repeatability_pct=repeatability_pct,
        uncorrected_pct=float(np.median([one.uncorrected_pct for one in judged])),
        distinguishable_pct=LATENCY_MARGIN_STDS * repeatability_pct,
        anchor_spread_pct=_relative_std_pct(anchors_ms),
        anchor_drift_pct=_drift_pct(anchors_ms),
        noisy=sum(chosen_reading(timing, reference_ms, settings)[1] == "noisy" for timing in in_order),
        timings=len(in_order),
        busy=busy,
        other_cores=max(0.0, float(np.median(used)) - busy * profile.threads) if used else None,
        steal=float(np.mean(stolen)) if stolen else None,
        setup=conditions[-1] if conditions else None,
        cores=profile.cores,
    )


def _repeatability(network: RepeatedNetwork, reference_ms: float, settings: MeasuringSettings) -> Repeatability:
    readings = [chosen_reading(timing, reference_ms, settings)[0] for timing in network.timings]
    corrected = np.array([reading.p50_ms for reading in readings])
    factors = np.array([reading.anchor_factor for reading in readings])
    return Repeatability(
        candidate_id=network.candidate_id,
        size=network.size,
        latency_p50_ms=float(np.median(corrected)),
        corrected_pct=_relative_std_pct(corrected),
        uncorrected_pct=_relative_std_pct(corrected / factors),
    )


def _relative_std_pct(values: FloatArray) -> float:
    return float(np.std(np.log(values), ddof=1) * 100)


def _drift_pct(anchors_ms: FloatArray) -> float | None:
    """Change along a straight line through equally spaced anchor timings, from start to end, if it is significant."""
    place = np.linspace(-0.5, 0.5, len(anchors_ms))
    logs = np.log(anchors_ms)
    slope = float(place @ (logs - logs.mean()) / (place @ place))
    residuals = logs - logs.mean() - slope * place
    error = math.sqrt(float(residuals @ residuals) / (len(logs) - 2) / float(place @ place))
    return math.expm1(slope) * 100 if abs(slope) > max(_DRIFT_ERRORS * error, _LEAST_DRIFT) else None
