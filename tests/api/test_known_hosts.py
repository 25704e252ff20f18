"""Requests for other hosts: a page whose name was made to point to this machine must not get answers."""

from pathlib import Path

import httpx
import pytest

from api.known_hosts import host_name
from api.server import running
from api.settings import ServiceSettings
from nas.home import Home
from nas.store import open_store
from tests.api.conftest import Service
from tests.api.problems import problem_of

OTHERS = [
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.7",
    "[::2]:80",
]


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/devices"), ("POST", "/v1/searches"), ("GET", "/")])
def test_requests_for_other_hosts_are_refused(service: Service, host: str, method: str, path: str) -> None:
    problem = problem_of(service.client.request(method, path, headers={"Host": host}), 421, "misdirected-request")
    assert "--allow-host" in problem["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "localhost.:80", "127.0.0.1:9", "127.1.2.3", "[::1]:8000"]
)
def test_names_of_this_machine_are_taken(service: Service, host: str) -> None:
    assert service.client.get("/v1/devices", headers={"Host": host}).status_code == 200


def test_a_stored_front_is_not_answered_either(service: Service) -> None:
    path = f"/v1/fronts/{service.front.id}"
    assert service.client.get(path).status_code == service.client.get(path).status_code == 200
    problem_of(service.client.get(path, headers={"Host": "evil.example"}), 421, "misdirected-request")


def test_names_are_allowed_by_option_and_by_keys(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        for settings, known, unknown in (
            (ServiceSettings(allowed_hosts=("Proxy.Example",)), 200, 421),
            (ServiceSettings(require_keys=True), 401, 401),
        ):
            with running(store, Home(tmp_path), settings=settings) as url:
                for host, status in (("proxy.example:443", known), ("evil.example", unknown)):
                    assert httpx.get(f"{url}/v1/devices", headers={"Host": host}).status_code == status


def test_names_in_host_headers() -> None:
    assert [host_name(value) for value in ("A.b:1", "[::1]:2", "[::1]", "x.", "")] == ["a.b", "::1", "::1", "x", ""]
