"""HTTP transport: retries, and conversion of responses to values or errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx

from hwnas.client.decoding import decode
from hwnas.client.errors import ClientError, NotFoundError, ServiceUnreachableError, UnexpectedAnswerError, error_of
from hwnas.client.settings import Address, ClientSettings

T = TypeVar("T")
PAGE_SIZE: Final = 100
_HOPELESS: Final = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError)
"""What another attempt does not help against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, which may be sent several times."""

    method: str = "GET"
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    """Those that are None are left out."""
    body: object = None
    """JSON; None for no body."""
    content: bytes | None = None
    """Bytes in place of JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    """How long the service may take on purpose."""


class AsyncTransport:
    """Sends requests to one service."""

    def __init__(
        self,
        address: Address,
        settings: ClientSettings,
        http: httpx.AsyncClient,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = address
        self._settings = settings
        self._http = http
        self._sleep = sleep

    async def get(self, kind: type[T], path: str, params: Mapping[str, Any] | None = None, wait_s: float = 0.0) -> T:
        """The answer of a GET request as an instance of a class of :mod:`hwnas.client.models`."""
        answer = await self.send(Call(path=path, params=params or {}, wait_s=wait_s))
        return decode(kind, json_of(answer))

    async def post(self, kind: type[T], path: str, body: object = None, headers: Mapping[str, str] | None = None) -> T:
        """The answer of a POST request, as :meth:`get`."""
        answer = await self.send(Call(method="POST", path=path, body=body, headers=headers or {}))
        return decode(kind, json_of(answer))

    async def delete(self, path: str) -> None:
        """Deletes what is at the path."""
        await self.send(Call(method="DELETE", path=path))

    async def listed(self, kind: type[T], path: str, name: str) -> tuple[T, ...]:
        """All entries of a list without pages."""
        return _entries(kind, json_of(await self.send(Call(path=path))), name)

    async def pages(self, kind: type[T], path: str, name: str, params: Mapping[str, Any]) -> AsyncIterator[T]:
        """The entries of a list, a page at a time as they are asked for."""
        token: str | None = None
        while True:
            query = {"page_size": PAGE_SIZE, **params, "page_token": token}
            document = json_of(await self.send(Call(path=path, params=query)))
            for entry in _entries(kind, document, name):
                yield entry
            token = document.get("next_page_token")
            if token is None:
                return

    async def send(self, call: Call) -> httpx.Response:
        """The answer, whose body has been read.

        Raises:
            ClientError: as :mod:`hwnas.client.errors` has it.
        """
        attempt = 1
        while True:
            try:
                response = await self._http.send(self._request(call))
            except httpx.RequestError as error:
                await self.pause(failure_of(error), attempt)
            else:
                if response.is_success:
                    return response
                problem = error_of(response)
                if call.method == "DELETE" and attempt > 1 and isinstance(problem, NotFoundError):
                    return response  # an attempt whose answer was lost deleted it
                await self.pause(problem, attempt)
            attempt += 1

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[httpx.Response]:
        """An answer whose body is read in the block; sent once.

        Raises:
            httpx.RequestError: if the connection fails, in the block, too; see :meth:`pause`.
            ClientError: for an answer without success.
        """
        response = await self._http.send(self._request(call), stream=True)
        try:
            if not response.is_success:
                await response.aread()
                raise error_of(response)
            yield response
        finally:
            await response.aclose()

    async def pause(self, error: ClientError, attempt: int) -> None:
        """Waits before the next attempt, or raises the error if there should be none."""
        delay_s = None
        if not isinstance(error.__cause__, _HOPELESS):
            delay_s = self._settings.retries.delay_s(error, attempt)
        if delay_s is None:
            raise error
        await self._sleep(delay_s)

    def _request(self, call: Call) -> httpx.Request:
        timeout = httpx.Timeout(
            self._settings.read_s, connect=self._settings.connect_s, read=self._settings.read_s + call.wait_s
        )
        return self._http.build_request(
            call.method,
            self._address.url + call.path,
            params={name: value for name, value in call.params.items() if value is not None},
            json=call.body,
            content=call.content,
            headers={**self._address.headers(), **call.headers},
            timeout=timeout,
        )


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        UnexpectedAnswerError: if it is none.
    """
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnexpectedAnswerError(f"{response.url} did not return a JSON object; is it an hwnas service?")
    return document


def failure_of(error: httpx.RequestError) -> ClientError:
    """The error that a failed connection is."""
    reason = str(error) or type(error).__name__
    failure = ServiceUnreachableError(f"no answer from {_origin(error)}: {reason}")
    failure.__cause__ = error
    return failure


def _origin(error: httpx.RequestError) -> str:
    url = error.request.url
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _entries(kind: type[T], document: Mapping[str, Any], name: str) -> tuple[T, ...]:
    entries = document.get(name)
    if not isinstance(entries, list):
        raise UnexpectedAnswerError(f"the answer has no array {name!r}.")
    return tuple(decode(kind, entry) for entry in entries)
