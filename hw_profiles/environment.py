"""Faults of the machine around a measurement, which are not failures of a candidate."""

import errno
from typing import Final

ENVIRONMENT: Final = "environment"
"""Stage of a worker's reply to a request that such a fault ended."""

_FAULTS: Final = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EIO,
    errno.EISDIR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def is_fault_of_environment(error: BaseException) -> bool:
    """Whether the error, or one that it came from, is of the disk, its permissions or the open files."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FAULTS:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
