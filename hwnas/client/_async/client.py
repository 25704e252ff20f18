"""The client of one service, with all its methods."""

from types import TracebackType
from typing import Self

import httpx

from hwnas.client._async.artifacts import AsyncArtifacts
from hwnas.client._async.data_sets import AsyncDataSets
from hwnas.client._async.jobs import AsyncBatches, AsyncCalibrations, AsyncSearches, AsyncTrainings
from hwnas.client._async.resources import (
    AsyncCandidates,
    AsyncDevices,
    AsyncFronts,
    AsyncPredictors,
    AsyncSearchSpaces,
    AsyncSupernets,
)
from hwnas.client._async.transport import AsyncTransport, Call
from hwnas.client.settings import Address, ClientSettings


class AsyncClient:
    """A client of an hwnas service. A context manager, which closes its connections.

    Requests that get no answer, 429 or 503 are sent again, after the time that the service asks for.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        settings: ClientSettings | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Connects when the first request is sent.

        Args:
            url: address of the service. Default: ``HWNAS_SERVER``, or ``http://127.0.0.1:8000``.
            key: API key. Default: ``HWNAS_KEY``, or none.
            settings: timeouts and retries.
            http: sends the requests, with certificates or proxies of your own; it stays open at the end.

        Raises:
            ClientError: if the address is not one of HTTP.
        """
        address = Address.of(url, key)
        self._http = http or httpx.AsyncClient()
        self._closes = http is None
        self._transport = AsyncTransport(address, settings or ClientSettings(), self._http)
        self.url = address.url
        self.devices = AsyncDevices(self._transport)
        self.search_spaces = AsyncSearchSpaces(self._transport)
        self.fronts = AsyncFronts(self._transport)
        self.searches = AsyncSearches(self._transport)
        self.calibrations = AsyncCalibrations(self._transport)
        self.data_sets = AsyncDataSets(self._transport)
        self.trainings = AsyncTrainings(self._transport)
        self.batches = AsyncBatches(self._transport)
        self.candidates = AsyncCandidates(self._transport)
        self.artifacts = AsyncArtifacts(self._transport)
        self.predictors = AsyncPredictors(self._transport)
        self.supernets = AsyncSupernets(self._transport)

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def check(self) -> None:
        """Returns if the service is ready.

        Raises:
            ServiceUnavailableError: if its database is not, after the retries.
            ServiceUnreachableError: if it does not answer, after the retries.
        """
        await self._transport.send(Call(path="/readyz"))

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._closes:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
