"""Fits a device's latency predictor to all data available when a search starts.

Known devices are sources, as in a calibration, and what was measured on the device earlier joins
what a search measures itself. Both are frozen when the fitter is made, so that a resumed search,
which freezes at the time it began, fits what the interrupted one fitted.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from nas.measuring.context import DeviceContext
from nas.measuring.device_measurements import DeviceSamples
from nas.workflows.known_devices import KnownDevices, known_devices
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

FIT_SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyFitter:
    """Fits latency predictors of one device and space; deterministic in the rows that it is given."""

    space: SearchSpace
    known: KnownDevices
    """The devices that it learns from."""
    earlier: DeviceSamples
    """What was measured on the device before, calibrations included; it joins every fit."""
    _extractors: tuple[FeatureExtractor, ...]
    """With the known devices, if there are any, then without."""

    def fit(
        self,
        genotypes: IntArray,
        latency_ms: FloatArray,
        repeatability: float,
        weights: FloatArray | None = None,
    ) -> LatencyPredictor:
        """The predictor of these samples and the earlier ones.

        It learns from the known devices unless it predicts the samples better without them, by
        cross-validation on the same samples. Its training rows are those given, in their order, then the
        earlier ones that are not among them: :meth:`predictors.latency.LatencyPredictor.cross_validated`
        gives the predictions of the first by models that had not seen them.

        Args:
            genotypes: canonical and distinct, shape ``(n, genes)``; n may be 0.
            latency_ms: shape ``(n,)``.
            repeatability: relative standard deviation of one measurement.
            weights: how many good measurements each latency is worth, shape ``(n,)``; default: one.

        Raises:
            UnfitDataError: if all samples are too few, or say nothing.
        """
        earlier_rows, earlier_ms, earlier_weights = self.earlier.without(genotypes)
        rows = np.concatenate([genotypes.reshape(-1, len(self.space.genes)), earlier_rows])
        values = np.concatenate([latency_ms, earlier_ms])
        own_weights = np.ones(len(latency_ms)) if weights is None else weights
        worth = np.concatenate([own_weights, earlier_weights])
        fitted = [
            LatencyPredictor.fit_with(
                extractor, rows, values, seed=FIT_SEED, repeatability=repeatability, weights=worth
            )
            for extractor in self._extractors
        ]
        return min(fitted, key=lambda predictor: predictor.held_out.mape_pct)

    def fit_earlier(self) -> LatencyPredictor:
        """The predictor of what was measured earlier alone."""
        none = np.empty((0, len(self.space.genes)), dtype=np.int64)
        return self.fit(none, np.zeros(0), self.earlier.repeatability)


def latency_fitter(context: DeviceContext, *, before: datetime | None = None) -> LatencyFitter:
    """The fitter of a device and space, frozen now or at an earlier time.

    Args:
        context: the device and space.
        before: only what was measured, recorded and found to have drifted before counts: a search's
            ``created_at``, so that resuming it changes nothing.
    """
    known = known_devices(context, None, before=before)
    sources = [device.model for device in known.devices]
    extractors = (FeatureExtractor(context.space, sources, None),) if sources else ()
    return LatencyFitter(
        space=context.space,
        known=known,
        earlier=context.measurements(before=before).samples(),
        _extractors=(*extractors, FeatureExtractor(context.space, [], None)),
    )
