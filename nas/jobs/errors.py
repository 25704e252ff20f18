"""Errors that end a job before its handler finishes."""

from typing import ClassVar

from search_spaces.errors import NasError


class JobCancelledError(NasError):
    """The job was cancelled."""

    code: ClassVar[str] = "cancelled"


class JobReleasedError(NasError):
    """The worker has to stop now, or the device changed; the job returns to the queue and resumes where it stopped."""

    code: ClassVar[str] = "released"
