"""Events of jobs as server-sent events, resumable with ``Last-Event-ID``."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Header, Response
from fastapi.responses import StreamingResponse

from api.watches import Watches
from nas.jobs.events import JobEvent

_KEEP_ALIVE_S: Final = 15.0
EVENT_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events: `state` with the new state and what came with it, and `progress` with what was"
        " reported. The stream ends after the job has.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1\nevent: state\ndata: {"state": "queued", "attempts": 0}\n\n',
            }
        },
    },
    204: {"description": "The job has ended and `Last-Event-ID` names its last event: a client need not come again."},
}

LastEventId = Annotated[
    int,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=2**31 - 1,
        description="Number of the last event that was received; the stream goes on after it. Default: all events.",
    ),
]
Follow = Callable[[int], tuple[Sequence[JobEvent], bool]]
"""From the number of an event to the events after it, and whether there will be no more."""


async def event_stream(watches: Watches, follow: Follow, after: int) -> Response:
    """Streams events after the one with this number until the job has ended."""
    events, ended = await watches.until(lambda: follow(after), bool, seconds=0)
    if ended and not events:
        return Response(status_code=204)

    async def stream() -> AsyncIterator[bytes]:
        last = after
        while not watches.ended:
            found, finished = await watches.until(
                partial(follow, last), lambda answer: bool(answer[0]) or answer[1], seconds=_KEEP_ALIVE_S
            )
            for event in found:
                last = event.number
                yield _encoded(event)
            if finished:
                return
            if not found:
                yield b": keep-alive\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


def _encoded(event: JobEvent) -> bytes:
    data = json.dumps({**event.data, "at": event.created_at.isoformat()}, allow_nan=False)
    return f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n".encode()
