"""When and after how long requests are sent again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from hwnas.client.errors import (
    InvalidRequestError,
    ProblemError,
    ServerError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    error_of,
)
from hwnas.client.retries import RetryPolicy

UNREACHABLE = ServiceUnreachableError("refused")


def test_delays_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=6, first_delay_s=1, max_delay_s=5)
    delays = [policy.delay_s(UNREACHABLE, attempt, uniform=max) for attempt in range(1, 7)]
    assert delays == [1, 2, 4, 5, 5, None]
    assert policy.delay_s(UNREACHABLE, 3, uniform=min) == 2


@pytest.mark.parametrize("kind", [ServerError, InvalidRequestError])
def test_errors_that_would_come_again_are_raised(kind: type[ProblemError]) -> None:
    assert RetryPolicy().delay_s(kind(500, {}, 1.0), 1) is None


def test_the_service_may_ask_for_longer_but_not_for_ever() -> None:
    policy = RetryPolicy(first_delay_s=1, max_delay_s=60)
    assert policy.delay_s(ServiceUnavailableError(503, {}, 30.0), 1) == 30
    assert policy.delay_s(ServiceUnavailableError(503, {}, 0.0), 1, uniform=max) == 1
    assert policy.delay_s(ServiceUnavailableError(503, {}, 61.0), 1) is None


def test_both_forms_of_retry_after() -> None:
    def retry_after_s(value: str) -> float | None:
        error = error_of(httpx.Response(503, headers={"Retry-After": value}))
        assert isinstance(error, ServiceUnavailableError)
        return error.retry_after_s

    later = retry_after_s(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3000 < later < 3700
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after_s("120"), retry_after_s("soon"), retry_after_s("-1")) == (120, None, None)
