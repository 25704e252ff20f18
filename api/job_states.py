"""Jobs as their clients see them."""

from api.wire import JobErrorOut, JobOut
from nas.jobs.queue import Job


def job_out(job: Job, url: str) -> JobOut:
    """A job's state at ``url``."""
    return JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        url=url,
        request=dict(job.request),
        progress=None if job.progress is None else dict(job.progress),
        result=None if job.result is None else dict(job.result),
        error=None if job.error is None else JobErrorOut(code=job.error["code"], message=job.error["message"]),
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )
