"""What every problem answer must be."""

from typing import Any

import httpx


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document of a problem answer, after checking that it follows RFC 9457 and says what it should."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:hwnas:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    for error in document.get("errors", ()):
        assert set(error) == {"field", "in", "message"}
    return document


def wrong_fields(response: httpx.Response) -> list[str]:
    """Names of the fields that an invalid-request problem is about."""
    document = problem_of(response, 422, "invalid-request")
    fields = [error["field"] for error in document["errors"]]
    assert all(fields)
    assert fields[0] in document["detail"]
    return fields
