"""What ends a job before its handler is through; raised by :class:`nas.jobs.worker.JobContext`."""

from typing import ClassVar

from search_spaces.errors import NasError


class JobCancelledError(NasError):
    """Somebody asked for the job to be cancelled."""

    code: ClassVar[str] = "cancelled"


class JobReleasedError(NasError):
    """The worker has to stop now; the job goes back to the queue and is taken up where it was left."""

    code: ClassVar[str] = "released"
