"""POST requests that queue jobs: checked, counted, and accepted once per ``Idempotency-Key``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from api.callers import Caller, caller_of
from api.changes import change_of
from api.problems import ProblemError, invalid_field
from api.trace_context import trace_of
from nas.jobs.submission import NewBatch, NewJob, Origin, Submissions, request_fingerprint
from nas.store.audit import Change
from nas.workflows.job_requests import JobRequests, RequestFieldError

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Chosen by the client, once per request: sending the same request again within 24 hours gives the"
        " same answer and queues nothing. Another request with the same key is refused.",
    ),
]


@dataclass(frozen=True, slots=True)
class Submitting:
    """Accepts the jobs of one request."""

    caller: Caller
    submissions: Submissions
    requests: JobRequests
    """Checks what is asked for."""
    path: str
    trace_id: str | None
    key: str | None
    change: Change

    def accept(
        self,
        asked: BaseModel,
        jobs: Callable[[], Sequence[NewJob]],
        answer: Callable[[str], BaseModel],
        response: Response,
        *,
        batch: NewBatch | None = None,
    ) -> dict[str, Any]:
        """Queues the jobs and gives the answer; a repeated request gets the answer that the first one got.

        Args:
            asked: the request's body, as it was understood.
            jobs: checks it and makes its jobs.
            answer: from the id of what was made to the answer about it.
            response: gets the Location header.
            batch: for jobs that are accepted as a batch.

        Raises:
            ProblemError: 422 for a field that is wrong.
            NasError: if the queue is full or the key was used for another request.
        """
        fingerprint = request_fingerprint(self.path, asked.model_dump(mode="json"))
        origin = Origin(
            tenant=self.caller.viewer.tenant,
            idempotency_key=self.key,
            fingerprint=fingerprint,
            trace_id=self.trace_id,
            change=self.change,
            holder=self.caller.holder,
        )
        try:
            accepted = self.submissions.submit(jobs(), origin, batch=batch)
        except RequestFieldError as error:
            raise invalid_field("body", error.field, error.reason) from error
        document = accepted.answer
        if document is None:
            try:
                document = answer(accepted.resource_id).model_dump(mode="json")
            except ProblemError:  # deleted since: the key is what is left of it
                if not accepted.replayed:
                    raise
                raise invalid_field(
                    "header", "Idempotency-Key", "names a request whose job was deleted; use a new key"
                ) from None
            self.submissions.keep_answer(origin, document)
        response.headers["Location"] = document["url"]
        if accepted.replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return dict(document)


async def _submitting(request: Request, key: IdempotencyKey = None) -> Submitting:
    state, scope = request.app.state, request.scope
    caller = caller_of(scope)
    requests = JobRequests(state.store, state.home, caller.viewer)
    return Submitting(caller, state.submissions, requests, request.url.path, trace_of(scope), key, change_of(scope))


SubmittingDep = Annotated[Submitting, Depends(_submitting)]
