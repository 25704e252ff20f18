"""Searches, calibrations, trainings and batches: started, followed, cancelled and deleted."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Generic, TypeVar

import httpx

from hwnas.client._async.transport import AsyncTransport, Call, failure_of
from hwnas.client.errors import JobFailedError, WaitTimeoutError
from hwnas.client.events import EventReader
from hwnas.client.models import Batch, Calibration, JobEvent, JobState, Search, Training
from hwnas.client.requests import BatchRequest, CalibrationRequest, SearchRequest, TrainingRequest, as_json
from hwnas.client.settings import id_of, path_of

J = TypeVar("J", Search, Calibration, Training, Batch)
_POLL_S: Final = 30.0
"""How long one request waits for a job's end; the service allows 60."""
_WATCHED_POLL_S: Final = 1.0
"""The same while someone watches the progress."""


class AsyncJobs(Generic[J]):
    """What all kinds of jobs have in common."""

    _kind: type[J]
    _folder: str

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def get(self, job: J | str, *, wait_s: float = 0.0) -> J:
        """The state of a job, given by itself, its id or its address; with ``wait_s`` (up to 60), once it has ended."""
        params = {"wait": wait_s} if wait_s > 0 else {}
        return await self._transport.get(self._kind, self._path(job), params, wait_s=wait_s)

    async def wait(
        self,
        job: J | str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[J], None] | None = None,
        check: bool = True,
    ) -> J:
        """Waits until a job has ended and gives it then.

        Args:
            job: itself, its id or its address.
            timeout_s: at most so long. Default: for ever.
            on_progress: called about once a second with the job's state, such as a ``ProgressBar``.
            check: whether a job that did not succeed is an error.

        Raises:
            JobFailedError: if it ended without success.
            WaitTimeoutError: if it has not ended in time; it goes on.
        """
        start_s = time.monotonic()
        poll_s = _POLL_S if on_progress is None else _WATCHED_POLL_S
        wait_s = 0.0
        while True:
            found = await self.get(job, wait_s=wait_s)
            if on_progress is not None:
                on_progress(found)
            if found.has_ended:
                if check and found.state != "succeeded":
                    raise JobFailedError(found)
                return found
            wait_s = poll_s
            if timeout_s is not None:
                left_s = timeout_s - (time.monotonic() - start_s)
                if left_s <= 0:
                    raise WaitTimeoutError(found, timeout_s)
                wait_s = min(poll_s, left_s)

    async def cancel(self, job: J | str) -> J:
        """Cancels a job: a queued one at once, a running one at its next step."""
        return await self._transport.post(self._kind, self._path(job) + ":cancel")

    async def delete(self, job: J | str) -> None:
        """Deletes a job that has ended; what it measured is kept.

        Raises:
            StillActiveError: if it has not ended.
            StillReferencedError: if something refers to it.
        """
        await self._transport.delete(self._path(job))

    def _path(self, job: J | str) -> str:
        return path_of(self._folder, id_of(job) if isinstance(job, str) else job.id)

    async def _start(self, path: str, body: object, idempotency_key: str | None) -> J:
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return await self._transport.post(self._kind, path, body, headers)

    async def _events(self, job: J | str, after: int) -> AsyncIterator[JobEvent]:
        attempt = 1
        while True:
            call = Call(path=self._path(job) + "/events", headers={"Last-Event-ID": str(after)})
            try:
                async with self._transport.stream(call) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    reader = EventReader()
                    async for line in response.aiter_lines():
                        event = reader.feed(line)
                        if event is not None:
                            after, attempt = event.number, 1
                            yield event
            except httpx.RequestError as error:
                await self._transport.pause(failure_of(error), attempt)
                attempt += 1


class AsyncSearches(AsyncJobs[Search]):
    """``client.searches``."""

    _kind = Search
    _folder = "searches"

    async def start(self, request: SearchRequest, *, idempotency_key: str | None = None) -> Search:
        """Queues a search.

        Args:
            request: what to search for.
            idempotency_key: a key of your own makes the call safe to repeat in another process: within 24 hours,
                the same request with the same key gives the same search. Default: a new one.

        Raises:
            InvalidRequestError: if a field is wrong.
            TooManyRequestsError: if too many jobs are waiting, after the retries.
        """
        return await self._start("/v1/searches", as_json(request), idempotency_key)

    async def list(
        self, *, state: JobState | None = None, device: str | None = None, space: str | None = None
    ) -> AsyncIterator[Search]:
        """All searches, newest first, those of the command line too."""
        params: dict[str, Any] = {"state": state, "device": device, "space": space}
        async for search in self._transport.pages(Search, "/v1/searches", "searches", params):
            yield search

    async def events(self, job: Search | str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Events as they come, until the search has ended; connections that are lost are made again.

        Args:
            job: itself, its id or its address.
            after: number of the last event that is known already.
        """
        async for event in self._events(job, after):
            yield event


class AsyncCalibrations(AsyncJobs[Calibration]):
    """``client.calibrations``."""

    _kind = Calibration
    _folder = "calibrations"

    async def start(self, request: CalibrationRequest, *, idempotency_key: str | None = None) -> Calibration:
        """Queues a calibration; arguments and errors as for searches."""
        body = as_json(request)
        path = path_of("devices", body.pop("device"), "calibrations")
        return await self._start(path, body, idempotency_key)

    async def list(
        self, *, state: JobState | None = None, device: str | None = None, space: str | None = None
    ) -> AsyncIterator[Calibration]:
        """All calibrations, newest first."""
        params: dict[str, Any] = {"state": state, "device": device, "space": space}
        async for calibration in self._transport.pages(Calibration, "/v1/calibrations", "calibrations", params):
            yield calibration

    async def events(self, job: Calibration | str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Events as they come, until the calibration has ended; as for searches."""
        async for event in self._events(job, after):
            yield event


class AsyncTrainings(AsyncJobs[Training]):
    """``client.trainings``."""

    _kind = Training
    _folder = "trainings"

    async def start(self, request: TrainingRequest, *, idempotency_key: str | None = None) -> Training:
        """Queues the training of a supernet; arguments and errors as for searches."""
        return await self._start("/v1/supernets", as_json(request), idempotency_key)

    async def list(self, *, state: JobState | None = None, space: str | None = None) -> AsyncIterator[Training]:
        """All trainings, newest first."""
        params: dict[str, Any] = {"state": state, "space": space}
        async for training in self._transport.pages(Training, "/v1/trainings", "trainings", params):
            yield training

    async def events(self, job: Training | str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Events as they come, until the training has ended; as for searches."""
        async for event in self._events(job, after):
            yield event


class AsyncBatches(AsyncJobs[Batch]):
    """``client.batches``."""

    _kind = Batch
    _folder = "batches"

    async def start(self, request: BatchRequest, *, idempotency_key: str | None = None) -> Batch:
        """Queues all members or none; arguments and errors as for searches."""
        return await self._start("/v1/batches", as_json(request), idempotency_key)

    async def list(self) -> AsyncIterator[Batch]:
        """All batches with their members, newest first."""
        async for batch in self._transport.pages(Batch, "/v1/batches", "batches", {}):
            yield batch
