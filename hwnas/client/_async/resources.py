"""Devices, fronts, candidates, predictors, supernets and search spaces."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from hwnas.client._async.transport import AsyncTransport
from hwnas.client.models import (
    Candidate,
    CandidateInfo,
    Device,
    Front,
    FrontInfo,
    Predictions,
    Predictor,
    Recommendation,
    SearchSpace,
    Supernet,
)
from hwnas.client.requests import Limits, as_json
from hwnas.client.settings import id_of, path_of

_PREDICTIONS_PER_REQUEST: Final = 1000


class AsyncDevices:
    """``client.devices``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> tuple[Device, ...]:
        """All devices."""
        return await self._transport.listed(Device, "/v1/devices", "devices")


class AsyncSearchSpaces:
    """``client.search_spaces``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> tuple[SearchSpace, ...]:
        """All search spaces."""
        return await self._transport.listed(SearchSpace, "/v1/search-spaces", "search_spaces")


class AsyncFronts:
    """``client.fronts``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def pareto(
        self,
        device: str,
        *,
        limits: Limits | None = None,
        space: str | None = None,
        data: str | None = None,
        supernet: str | None = None,
    ) -> Front:
        """The Pareto front of everything verified on a device, within limits.

        Args:
            device: id of the device.
            limits: that every member meets. Default: none.
            space: search space; needed if the device has fronts in several.
            data: name of the data set. Default: that of the supernet.
            supernet: first digits of its id, at least 4. Default: the newest one that has a front.

        Raises:
            NotFoundError: if the device is unknown or has no front.
            LimitsNotMetError: if no network meets the limits; it has the nearest one.
        """
        query = _query(limits, space=space, data=data, supernet=supernet)
        return await self._transport.get(Front, path_of("devices", device, "pareto"), query)

    async def recommend(
        self,
        device: str,
        *,
        limits: Limits | None = None,
        space: str | None = None,
        data: str | None = None,
        supernet: str | None = None,
    ) -> Recommendation:
        """The most accurate network of a device's Pareto front within limits; arguments and errors as there."""
        query = _query(limits, space=space, data=data, supernet=supernet)
        return await self._transport.get(Recommendation, path_of("devices", device, "recommendation"), query)

    async def list(
        self, *, device: str | None = None, space: str | None = None, search: str | None = None
    ) -> AsyncIterator[FrontInfo]:
        """The fronts of searches, newest first."""
        params: dict[str, Any] = {"device": device, "space": space, "search": None if search is None else id_of(search)}
        async for front in self._transport.pages(FrontInfo, "/v1/fronts", "fronts", params):
            yield front

    async def get(self, front: FrontInfo | str) -> Front:
        """The front of one search, given by its entry of the list, its id or its address (``search.front``)."""
        return await self._transport.get(Front, _path_of_front(front))

    async def delete(self, front: FrontInfo | str) -> None:
        """Deletes the front of one search; its members' files and measurements are kept."""
        await self._transport.delete(_path_of_front(front))


class AsyncCandidates:
    """``client.candidates``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, *, space: str | None = None) -> AsyncIterator[CandidateInfo]:
        """The candidates that were evaluated or measured, newest first."""
        async for candidate in self._transport.pages(CandidateInfo, "/v1/candidates", "candidates", {"space": space}):
            yield candidate

    async def get(self, candidate_id: str) -> Candidate:
        """One candidate with its accuracies, its latencies on every device, and its files."""
        return await self._transport.get(Candidate, path_of("candidates", id_of(candidate_id)))


class AsyncPredictors:
    """``client.predictors``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        kind: Literal["latency", "accuracy"] | None = None,
        device: str | None = None,
        space: str | None = None,
    ) -> AsyncIterator[Predictor]:
        """The predictors, newest first."""
        params: dict[str, Any] = {"kind": kind, "device": device, "space": space}
        async for predictor in self._transport.pages(Predictor, "/v1/predictors", "predictors", params):
            yield predictor

    async def get(self, predictor_id: str) -> Predictor:
        """One predictor."""
        return await self._transport.get(Predictor, path_of("predictors", predictor_id))

    async def delete(self, predictor_id: str) -> None:
        """Deletes a predictor that nothing refers to."""
        await self._transport.delete(path_of("predictors", predictor_id))

    async def predict(self, predictor_id: str, candidates: Sequence[str]) -> Predictions:
        """Predicts candidates, in the order given; any number, 1,000 per request.

        Args:
            predictor_id: of a latency or an accuracy predictor.
            candidates: canonical strings, or ids of stored candidates (first 6 digits at least).
        """
        path = path_of("predictors", predictor_id) + ":predict"
        parts = [
            await self._transport.post(
                Predictions, path, {"candidates": list(candidates[start : start + _PREDICTIONS_PER_REQUEST])}
            )
            for start in range(0, len(candidates) or 1, _PREDICTIONS_PER_REQUEST)
        ]
        return replace(parts[0], predictions=tuple(one for part in parts for one in part.predictions))


class AsyncSupernets:
    """``client.supernets``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, *, space: str | None = None, data: str | None = None) -> AsyncIterator[Supernet]:
        """The trained supernets, newest first."""
        params: dict[str, Any] = {"space": space, "data": data}
        async for supernet in self._transport.pages(Supernet, "/v1/supernets", "supernets", params):
            yield supernet

    async def get(self, supernet_id: str) -> Supernet:
        """One supernet."""
        return await self._transport.get(Supernet, path_of("supernets", id_of(supernet_id)))

    async def delete(self, supernet_id: str) -> None:
        """Deletes a supernet that no search or predictor refers to; needs a key with scope ``admin``."""
        await self._transport.delete(path_of("supernets", id_of(supernet_id)))


def _path_of_front(front: FrontInfo | str) -> str:
    return path_of("fronts", id_of(front) if isinstance(front, str) else front.id)


def _query(limits: Limits | None, **names: str | None) -> dict[str, Any]:
    return {**as_json(limits or Limits()), **names}
