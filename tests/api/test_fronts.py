"""Fronts over HTTP against the store's rows."""

import asyncio
import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import ImmutableMultiDict

from api.dependencies import refuse_repeated_parameters
from api.problems import ProblemError
from api.server import running
from nas.home import Home
from nas.metrics import LIMIT_NAMES, Constraints
from nas.store import open_store
from tests.api.conftest import FIGURES, Service
from tests.api.problems import problem_of, wrong_fields
from tests.nas.store.rows import PROFILE, SPACE, front_body, front_member, open_search, put_candidates

PARETO = f"/v1/devices/{PROFILE.id}/pareto"
RECOMMENDATION = f"/v1/devices/{PROFILE.id}/recommendation"


def test_the_unfiltered_front_is_the_stored_bytes(service: Service) -> None:
    response = service.client.get(PARETO)
    assert response.status_code == 200
    assert response.content == service.body == service.store.fronts.body(service.front.id)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == f'"{service.front.etag}"'


@pytest.mark.parametrize(
    "path", [PARETO, PARETO.replace("local-cpu/tvm", "local-cpu%2Ftvm"), f"{PARETO}?space={SPACE.name}"]
)
def test_slash_escaped_slash_and_space_give_the_same(service: Service, path: str) -> None:
    assert service.client.get(path).content == service.body


@pytest.mark.parametrize("held", ['"{}"', 'W/"{}"', '"x", "{}"', "*"])
def test_who_holds_the_bytes_gets_304(service: Service, held: str) -> None:
    response = service.client.get(PARETO, headers={"If-None-Match": held.format(service.front.etag)})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == f'"{service.front.etag}"'


def test_who_holds_other_bytes_gets_these(service: Service) -> None:
    assert service.client.get(PARETO, headers={"If-None-Match": '"0"'}).content == service.body


def test_noisy_readings_are_marked_in_fronts(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        open_search(store)
        ids = put_candidates(store, 2)
        for number in range(2):  # two fronts, so that the answer is merged
            member = front_member(ids[number], p95_ms=1.0 + number, size_bytes=10, accuracy=0.5 + number / 10)
            store.fronts.add("search-1", front_body([member | {"quality": ("ok", "noisy")[number]}]))
        with running(store, Home(tmp_path)) as url:
            members = httpx.get(f"{url}{PARETO}").json()["members"]
            assert {entry["candidate"]: entry["quality"] for entry in members} == {ids[0]: "ok", ids[1]: "noisy"}
            chosen = httpx.get(f"{url}{RECOMMENDATION}").json()["member"]
            assert (chosen["candidate"], chosen["quality"]) == (ids[1], "noisy")


def test_a_filtered_answer_has_its_own_etag(service: Service) -> None:
    first = service.client.get(PARETO, params={"max_latency_p95_ms": 1})
    assert first.headers["etag"] != f'"{service.front.etag}"'
    again = service.client.get(
        PARETO, params={"max_latency_p95_ms": 1}, headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304


def test_a_front_has_an_address_of_its_own(service: Service) -> None:
    response = service.client.get(f"/v1/fronts/{service.front.id}")
    assert response.content == service.body
    assert "immutable" in response.headers["cache-control"]
    for unknown in ("0" * 64, "x", "%00"):
        problem_of(service.client.get(f"/v1/fronts/{unknown}"), 404, "unknown-front")


_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_latency_p95_ms": st.sampled_from([f[0] for f in FIGURES]) | st.floats(1e-3, 5),
        "max_size_bytes": st.sampled_from([f[1] for f in FIGURES]) | st.integers(1, 200_000),
        "min_accuracy": st.sampled_from([f[2] for f in FIGURES]) | st.floats(0, 1),
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=_LIMITS)
def test_limits_give_the_rows_that_satisfy_them_or_the_nearest(service: Service, limits: dict[str, float]) -> None:
    response = service.client.get(PARETO, params=limits)
    constraints = Constraints.from_limits({name: limit or None for name, limit in limits.items()})
    rows = service.store.fronts.members(service.front.id, constraints)
    stored = json.loads(service.body)
    if rows:
        answer = response.json()
        assert [member["candidate"] for member in answer["members"]] == [row.candidate_id for row in rows]
        assert answer["members"] == [stored["members"][row.position] for row in rows]
        assert answer | {"members": []} == stored | {"members": []}
        return
    document = problem_of(response, 409, "limits-not-met")

    def violation(figures: tuple[float, float, float]) -> float:
        latency = max(0.0, figures[0] / limits.get("max_latency_p95_ms", math.inf) - 1)
        size = max(0.0, figures[1] / limits.get("max_size_bytes", math.inf) - 1)
        wanted = limits.get("min_accuracy", 0.0)
        return latency + size + (max(0.0, 1 - figures[2] / wanted) if wanted else 0.0)

    violations = [violation(figures) for figures in FIGURES]
    nearest = stored["members"].index(document["nearest"])
    assert violations[nearest] == pytest.approx(min(violations))
    assert {entry["limit"] for entry in document["unmet"]} <= set(limits)
    assert document["unmet"]
    for entry in document["unmet"]:
        assert entry["limit"] in document["detail"]


def test_the_nearest_point_says_what_it_misses(service: Service) -> None:
    document = problem_of(service.client.get(PARETO, params={"max_latency_p95_ms": 0.4}), 409, "limits-not-met")
    assert document["nearest"]["candidate"] == service.candidates[0]
    assert document["unmet"] == [{"limit": "max_latency_p95_ms", "asked": 0.4, "nearest": 0.5, "best": 0.5}]


@pytest.mark.parametrize("name", LIMIT_NAMES)
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", "1e999", "abc", "", "9" * 400])
def test_numbers_that_are_no_limits_are_named(service: Service, name: str, value: str) -> None:
    assert wrong_fields(service.client.get(PARETO, params={name: value})) == [name]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"max_latency_p95": "1"}, "max_latency_p95"),
        ({"Space": SPACE.name}, "Space"),
        ({"space": "resnet"}, "space"),
        ({"space": "\x00"}, "space"),
        ({"min_accuracy": "1.01"}, "min_accuracy"),
        ({"max_size_bytes": "0"}, "max_size_bytes"),
        ({"max_size_bytes": "1.5"}, "max_size_bytes"),
        ({"supernet": "5"}, "supernet"),
        ({"supernet": "xyz0"}, "supernet"),
        ({"data": "\x00"}, "data"),
        ([("min_accuracy", "0.1"), ("min_accuracy", "0.9")], "min_accuracy"),
    ],
)
def test_fields_that_are_wrong_are_named(
    service: Service, params: dict[str, str] | list[tuple[str, str]], field: str
) -> None:
    assert wrong_fields(service.client.get(PARETO, params=params)) == [field]


class _CountingName(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        _CountingName.comparisons += 1
        return str.__eq__(self, other)


def test_finding_repeated_parameters_takes_linear_time() -> None:
    names = [_CountingName(f"n{number}") for number in range(2000)]
    query = ImmutableMultiDict([(name, "1") for name in [*names, names[0]]])
    request = SimpleNamespace(query_params=query)
    _CountingName.comparisons = 0
    with pytest.raises(ProblemError) as caught:
        asyncio.run(refuse_repeated_parameters(request))  # type: ignore[arg-type]
    assert [error.field for error in caught.value.errors] == ["n0"]
    assert _CountingName.comparisons < 20 * len(names)


@pytest.mark.parametrize(
    "device", ["phone", "local-cpu", "local-cpu/tvm/x", "a b", "%00", "%ff", "..%2F..", "é" * 300, ""]
)
def test_an_unknown_device_is_no_device_without_a_front(service: Service, device: str) -> None:
    problem_of(service.client.get(f"/v1/devices/{device}/pareto"), 404, "unknown-device")
    document = problem_of(service.client.get("/v1/devices/local-cpu/onnxruntime/pareto"), 404, "no-front")
    assert "/v1/searches" in document["detail"]


@pytest.mark.parametrize(
    "params", [{"space": "mobilenet_v3:imagenet"}, {"data": "cifar10"}, {"supernet": "abcd"}, {"data": "x" * 200}]
)
@pytest.mark.parametrize("address", [PARETO, RECOMMENDATION])
def test_a_device_without_such_a_front(service: Service, address: str, params: dict[str, str]) -> None:
    document = problem_of(service.client.get(address, params=params), 404, "no-front")
    assert next(iter(params.values())) in document["detail"]


def test_data_and_supernet_choose(service: Service) -> None:
    for params in ({"data": "fashion-mini"}, {"supernet": "55555"}, {"space": SPACE.name, "supernet": "5" * 64}):
        assert service.client.get(PARETO, params=params).content == service.body


def test_a_limit_on_a_figure_that_nobody_measured_is_not_met(service: Service) -> None:
    document = problem_of(service.client.get(PARETO, params={"max_load_time_ms": 5}), 409, "limits-not-met")
    assert document["unmet"] == [{"limit": "max_load_time_ms", "asked": 5.0, "nearest": None, "best": None}]
    assert "not measured" in document["detail"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=_LIMITS)
def test_the_recommendation_is_the_most_accurate_of_those_within_the_limits(
    service: Service, limits: dict[str, float]
) -> None:
    front = service.client.get(PARETO, params=limits)
    answer = service.client.get(RECOMMENDATION, params=limits)
    assert answer.status_code == front.status_code
    if answer.status_code == 409:
        assert answer.json() == front.json()
        return
    best = max(front.json()["members"], key=lambda member: member["accuracy_val"])
    document = answer.json()
    assert document["member"] == best
    assert document["limits"] == {name: limit for name, limit in limits.items() if limit}
    assert (document["device"], document["space"]) == (PROFILE.id, SPACE.name)
    assert service.client.get(document["front"]).content == service.body


_NAMES = st.sampled_from(["space", "data", "supernet", "x", *LIMIT_NAMES]) | st.text(max_size=8)
_VALUES = st.one_of(
    st.text(max_size=20),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["mobilenet_v3:tiny", "0", "1", "1e309", "0x10", "\uff11", "1_000", "\x00", "true"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(_NAMES, _VALUES), max_size=4))
@example(pairs=[("min_accuracy", "5e-324")])
@example(pairs=[("max_latency_p95_ms", "5e-324"), ("max_size_bytes", "1")])
def test_no_query_makes_the_service_fail(service: Service, pairs: list[tuple[str, str]]) -> None:
    response = service.client.get(PARETO, params=httpx.QueryParams(pairs))
    assert response.status_code in (200, 404, 409, 422)
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.binary(max_size=24), resource=st.sampled_from(["devices", "candidates", "artifacts", "searches", ""]))
def test_no_address_makes_the_service_fail(service: Service, path: bytes, resource: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in path)
    response = service.client.get(f"/v1/{resource}/{escaped}/pareto")
    assert response.status_code == 404
    problem_of(response, 404, response.json()["type"].rpartition(":")[2])


def test_bytes_survive_a_restart(service: Service) -> None:
    with open_store(str(service.store.database.url)) as other:
        assert other.fronts.body(service.front.id) == service.client.get(PARETO).content


def test_a_damaged_front_is_gone_in_every_form(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        open_search(store)
        (candidate,) = put_candidates(store, 1)
        body = front_body([front_member(candidate, p95_ms=1.0, size_bytes=10, accuracy=0.5)])
        front_id = store.fronts.add("search-1", body).id
        with closing(sqlite3.connect(tmp_path / "hwnas.db")) as connection, connection:
            connection.execute("update fronts set body='{\"schema\"'")
        with running(store, Home(tmp_path)) as url, httpx.Client(base_url=url) as client:
            for address in (PARETO, f"{PARETO}?min_accuracy=0.1", f"/v1/fronts/{front_id}"):
                assert "seed" in problem_of(client.get(address), 410, "front-damaged")["detail"]
