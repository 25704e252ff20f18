"""HTTP itself: bodies, types, sizes, methods, ranges, parameters, the documentation page."""

import json
import re
import socket

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.body_limit import MAX_BODY_BYTES, MAX_QUERY_BYTES
from tests.api.conftest import ARTIFACT, Service
from tests.api.problems import problem_of, wrong_fields
from tests.nas.store.rows import PROFILE, SPACE

JSON = {"Content-Type": "application/json"}
SEARCH = {"device": PROFILE.id, "space": SPACE.name}
CALIBRATIONS = f"/v1/devices/{PROFILE.id}/calibrations"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"[" * 5000])
def test_bodies_that_are_no_request(service: Service, content: bytes) -> None:
    response = service.client.post("/v1/searches", content=content, headers=JSON)
    problem_of(response, 422, "invalid-request")


def test_a_body_that_does_not_say_that_it_is_json_is_told_how(service: Service) -> None:
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        for path in ("/v1/searches", CALIBRATIONS, f"/v1/predictors/{'0' * 64}:predict"):
            response = service.client.post(path, content=json.dumps(SEARCH), headers=headers)
            document = problem_of(response, 415, "unsupported-media-type")
            assert "application/json" in document["detail"]
            assert response.headers["accept-post"] == "application/json"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
def test_types_that_are_json(service: Service, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert wrong_fields(service.client.post("/v1/searches", content="{}", headers=headers)) == ["device", "space"]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ('{"device": "local-cpu/tvm", "space": "mobilenet_v3:tiny", "seed": 1, "seed": 2}', "seed"),
        ('{"limits": {"min_accuracy": 0.1, "min_accuracy": 0.1}}', "min_accuracy"),
    ],
)
def test_a_key_that_comes_twice_is_named(service: Service, content: str, field: str) -> None:
    before = service.queue.all()
    assert wrong_fields(service.client.post("/v1/searches", content=content, headers=JSON)) == [field]
    assert service.queue.all() == before


@pytest.mark.parametrize("value", ["1_0", " 10", "10 ", "+10", "\uff110", "0x10", "10,5"])
@pytest.mark.parametrize(
    ("path", "name"), [("/v1/searches", "page_size"), (f"/v1/devices/{PROFILE.id}/pareto", "max_latency_p95_ms")]
)
def test_numbers_in_a_query_are_digits(service: Service, path: str, name: str, value: str) -> None:
    assert wrong_fields(service.client.get(path, params={name: value})) == [name]


def _raw(service: Service, request: bytes) -> bytes:
    """The answer to bytes as they are; the service has to close the connection."""
    address = httpx.URL(service.url)
    with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_body_that_is_announced_as_huge_is_refused_before_it_comes(service: Service) -> None:
    head = b"POST /v1/searches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = _raw(service, head + b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:hwnas:problem:body-too-large" in answer


def test_a_query_without_end_is_refused(service: Service) -> None:
    for path in ("/livez", f"/v1/devices/{PROFILE.id}/pareto"):
        response = service.client.get(path + "?" + "a=&" * (MAX_QUERY_BYTES // 3 + 1))
        problem_of(response, 414, "query-too-long")


def test_a_huge_body_is_refused(service: Service) -> None:
    response = service.client.post("/v1/searches", content=b" " * (MAX_BODY_BYTES + 1))
    problem_of(response, 413, "body-too-large")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["device", "space", "limits", "seed", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_no_body_makes_the_service_fail(service: Service, body: object) -> None:
    response = service.client.post("/v1/searches", content=json.dumps(body), headers=JSON)
    problem_of(response, 422, "invalid-request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/devices"),
        ("DELETE", f"/v1/devices/{PROFILE.id}/pareto"),
        ("PUT", "/v1/searches"),
        ("GET", CALIBRATIONS),
        ("PATCH", "/livez"),
    ],
)
def test_other_methods(service: Service, method: str, path: str) -> None:
    response = service.client.request(method, path)
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"]


_PREDICT = f"/v1/predictors/{'0' * 64}:predict"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/devices", "GET, HEAD, OPTIONS"),
        ("/v1/searches", "GET, HEAD, OPTIONS, POST"),
        ("/v1/searches/search-1:cancel", "OPTIONS, POST"),
        (f"/v1/predictors/{'0' * 64}", "DELETE, GET, HEAD, OPTIONS"),
        (_PREDICT, "OPTIONS, POST"),
        (CALIBRATIONS, "OPTIONS, POST"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_refusals_list_the_methods_of_an_address(service: Service, path: str, allowed: str) -> None:
    response = service.client.options(path)
    assert (response.status_code, response.content, response.headers["allow"]) == (204, b"", allowed)
    response = service.client.patch(path)
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"] == allowed


def test_an_action_is_not_read_as_a_resource(service: Service) -> None:
    problem_of(service.client.get(_PREDICT), 405, "method-not-allowed")


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/v1/devices", "/v1/search-spaces", f"/v1/devices/{PROFILE.id}/pareto"]
)
def test_head_is_get_without_its_body(service: Service, path: str) -> None:
    asked, answer = service.client.head(path), service.client.get(path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert {**asked.headers, "date": ""} == {**answer.headers, "date": ""}


def test_head_of_errors_and_files(service: Service) -> None:
    asked = service.client.head(f"/v1/artifacts/{service.artifact}")
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == str(len(ARTIFACT))
    for path in ("/nothing", f"/v1/fronts/{'0' * 64}"):
        assert service.client.head(path).status_code == 404


@pytest.mark.parametrize("value", ["bytes=900-", "bytes=500-600", "bytes=0-1, 900-"])
def test_bytes_that_a_file_does_not_have_are_a_problem(service: Service, value: str) -> None:
    response = service.client.get(f"/v1/artifacts/{service.artifact}", headers={"Range": value})
    problem_of(response, 416, "range-not-satisfiable")
    assert response.headers["content-range"] == f"bytes */{len(ARTIFACT)}"


@pytest.mark.parametrize("value", ["items=0-1", "bytes", "bytes=", "bytes=3-1", "bytes=a-b"])
def test_a_range_that_makes_no_sense_is_ignored(service: Service, value: str) -> None:
    response = service.client.get(f"/v1/artifacts/{service.artifact}", headers={"Range": value})
    assert (response.status_code, response.content) == (200, ARTIFACT)


def test_the_documentation_page_needs_no_other_host(service: Service) -> None:
    page = service.client.get("/docs")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "//" not in re.sub(r"\s//.*", "", page.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        if not address.startswith("data:"):
            linked = service.client.get(f"/{address}")
            assert (linked.status_code, len(linked.content) > 100_000) == (200, True)
            held = service.client.get(f"/{address}", headers={"If-None-Match": linked.headers["etag"]})
            assert held.status_code == 304
    assert "openapi.json" in page.text


@pytest.mark.parametrize("path", ["/v1", "/v1/devices/", "/v2/devices", "/v1/devices/local-cpu/tvm"])
def test_other_addresses(service: Service, path: str) -> None:
    problem_of(service.client.get(path), 404, "not-found")


@pytest.mark.parametrize("path", ["/v1/devices", "/v1/search-spaces", "/v1/searches/search-1", "/livez", "/readyz"])
def test_addresses_without_parameters_take_none(service: Service, path: str) -> None:
    assert service.client.get(path).status_code == 200
    assert wrong_fields(service.client.get(path, params={"limit": "3"})) == ["limit"]


def test_pages_of_other_sites_change_nothing(service: Service) -> None:
    """A browser sends a form without a body anywhere; it says so in a header that scripts cannot set."""
    job = service.queue.enqueue("calibration", {"device": PROFILE.id})
    url = f"/v1/calibrations/{job.id}:cancel"
    problem_of(service.client.post(url, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross-site")
    assert service.queue.get(job.id).state == "queued"
    assert service.client.post(url, headers={"Sec-Fetch-Site": "same-origin"}).json()["state"] == "cancelled"
