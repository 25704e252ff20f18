"""The retry policy.

Every request of the client may be: those that start jobs carry an ``Idempotency-Key``, and the others have the same
effect once or twice.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from hwnas.client.errors import (
    ClientError,
    ProblemError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    TooManyRequestsError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and after which delay to retry requests without response, or with 429, 502, 503 or 504."""

    attempts: int = 6
    """At most, the first one included; 1 never repeats a request."""
    first_delay_s: float = 0.5
    """Before the second attempt; doubled for each one after it, and up to halved at random."""
    max_delay_s: float = 60.0
    """No delay is longer. If the service asks for more (``Retry-After``), the error is raised at once."""

    def delay_s(
        self, error: ClientError, attempt: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> float | None:
        """Delay in seconds after a failed attempt, or None to raise its error.

        Args:
            error: that the attempt ended with.
            attempt: its number, from 1.
            uniform: gives a random number between two.
        """
        if attempt >= self.attempts:
            return None
        if not isinstance(error, ServiceUnreachableError | ServiceUnavailableError | TooManyRequestsError):
            return None
        asked_s = error.retry_after_s if isinstance(error, ProblemError) else None
        if asked_s is not None and asked_s > self.max_delay_s:
            return None
        own_s = min(self.max_delay_s, self.first_delay_s * 2.0 ** (attempt - 1))
        return max(own_s * uniform(0.5, 1.0), asked_s or 0.0)
