"""The other resources over HTTP against the store's rows, and requests with wrong fields."""

import base64
import hashlib
import json
from typing import Any

import pytest

from nas.home import write_bytes
from nas.store.artifacts import Artifact
from search_spaces.registry import get_space, space_names
from tests.api.conftest import ARTIFACT, Service
from tests.api.problems import problem_of, wrong_fields
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID

JSON = {"Content-Type": "application/json"}
SEARCH = {"device": PROFILE.id, "space": SPACE.name}
CALIBRATIONS = f"/v1/devices/{PROFILE.id}/calibrations"


def test_devices_are_those_of_the_store(service: Service) -> None:
    devices = service.client.get("/v1/devices").json()["devices"]
    stored = service.store.devices.all()
    assert [entry["profile"] for entry in devices] == [entry.profile.as_json() for entry in stored]
    assert [entry["fingerprint"] for entry in devices] == [entry.profile.fingerprint for entry in stored]
    spaces = {entry["id"]: entry["spaces_with_front"] for entry in devices}  # agents of other tests are there, too
    assert (spaces["local-cpu/onnxruntime"], spaces[PROFILE.id]) == ([], [SPACE.name])


def test_search_spaces_are_those_of_the_registry(service: Service) -> None:
    spaces = service.client.get("/v1/search-spaces").json()["search_spaces"]
    assert [entry["name"] for entry in spaces] == list(space_names())
    for entry in spaces:
        space = get_space(entry["name"])
        assert [gene["choices"] for gene in entry["genes"]] == [list(gene.choices) for gene in space.genes]


def test_a_candidate_is_what_the_store_knows_of_it(service: Service) -> None:
    answer = service.client.get(f"/v1/candidates/{service.candidates[0]}").json()
    stored = service.store.candidates.get(service.candidates[0])
    assert (answer["id"], answer["canonical"], tuple(answer["genotype"])) == (
        stored.id,
        stored.canonical,
        stored.genotype,
    )
    assert answer["architecture"] == stored.candidate.architecture
    assert answer["policy"] == stored.candidate.policy
    assert answer["evaluations"] == [{"supernet": SUPERNET_ID, "part": "val", "accuracy": 0.7, "images": 1000}]
    assert [entry["latency_p50_ms"] for entry in answer["measurements"]] == [1.5, None]
    assert [entry["failure"] for entry in answer["measurements"]] == [None, "compile: no kernel"]
    (artifact,) = answer["artifacts"]
    assert service.client.get(artifact["url"]).content == ARTIFACT


@pytest.mark.parametrize("unknown", ["0" * 64, "x", "%00", "A" * 64])
@pytest.mark.parametrize("kind", ["candidate", "artifact"])
def test_unknown_hashes(service: Service, kind: str, unknown: str) -> None:
    problem_of(service.client.get(f"/v1/{kind}s/{unknown}"), 404, f"unknown-{kind}")


def test_an_artifact_is_its_bytes_for_ever(service: Service) -> None:
    response = service.client.get(f"/v1/artifacts/{service.artifact}")
    assert response.content == ARTIFACT
    assert response.headers["etag"] == f'"{service.artifact}"'
    assert "immutable" in response.headers["cache-control"]
    digest = base64.b64encode(hashlib.sha256(ARTIFACT).digest()).decode()
    assert response.headers["repr-digest"] == f"sha-256=:{digest}:"
    held = service.client.get(f"/v1/artifacts/{service.artifact}", headers={"If-None-Match": f'"{service.artifact}"'})
    assert (held.status_code, held.content) == (304, b"")
    part = service.client.get(f"/v1/artifacts/{service.artifact}", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, ARTIFACT[1:4])


def test_an_artifact_whose_file_is_gone_is_said(service: Service) -> None:
    service.store.artifacts.put(
        Artifact(sha256="e" * 64, kind="onnx", size_bytes=3, path="ee/gone", candidate_id=service.candidates[1])
    )
    problem = problem_of(service.client.get(f"/v1/artifacts/{'e' * 64}"), 410, "artifact-gone")
    assert "another seed" in problem["detail"]
    held = service.client.get(f"/v1/artifacts/{'e' * 64}", headers={"If-None-Match": f'"{"e" * 64}"'})
    problem_of(held, 410, "artifact-gone")


def test_a_damaged_artifact_of_the_right_size_is_not_sent(service: Service) -> None:
    content = b"a network that will be damaged"
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"{sha256[:2]}/{sha256}.onnx"
    write_bytes(service.home.artifacts / path, content)
    service.store.artifacts.put(
        Artifact(sha256=sha256, kind="onnx", size_bytes=len(content), path=path, candidate_id=service.candidates[2])
    )
    address = f"/v1/artifacts/{sha256}"
    assert service.client.get(address).content == content
    file = service.home.artifacts / path
    file.write_bytes(content[:-1] + b"?")
    for headers in ({}, {"If-None-Match": f'"{sha256}"'}, {"Range": "bytes=0-3"}):
        problem_of(service.client.get(address, headers=headers), 410, "artifact-gone")
    file.write_bytes(content)
    assert service.client.get(address).content == content


def test_a_search_is_queued_and_followed(service: Service) -> None:
    body = SEARCH | {"limits": {"max_latency_p95_ms": 2.5}, "evaluations": 12, "seed": 3}
    response = service.client.post("/v1/searches", json=body)
    assert response.status_code == 202
    answer = response.json()
    assert response.headers["location"] == answer["url"] == f"/v1/searches/{answer['id']}"
    job = service.queue.get(answer["id"])
    assert (job.kind, job.state) == ("search", "queued")
    assert job.request == {
        "device": PROFILE.id,
        "space": SPACE.name,
        "supernet": SUPERNET_ID,
        "limits": {"max_latency_p95_ms": 2.5},
        "objectives": ["latency_p50_ms", "accuracy"],
        "method": "hwnas",
        "precisions": None,
        "evaluations": 12,
        "batch_size": 8,
        "survey": 60,
        "screen": 32,
        "finish_epochs": None,
        "random_baseline": False,
        "seed": 3,
    }
    assert answer["state"] == "queued"
    assert answer["request"] == job.request

    service.queue.cancel(job.id)
    followed = service.client.get(answer["url"]).json()
    assert (followed["state"], followed["front"], followed["evaluations"]) == ("cancelled", None, 0)


def test_a_failed_search_says_why(service: Service) -> None:
    url = service.client.post("/v1/searches", json=SEARCH).json()["url"]
    job = service.queue.claim("here", kinds=("search",), lease_s=60)
    assert job is not None
    service.queue.report(job.lease, {"evaluations": 1})
    assert service.client.get(url).json()["progress"] == {"evaluations": 1}
    service.queue.fail(job.lease, code="compile-failed", message="no kernel.")
    answer = service.client.get(url).json()
    assert (answer["state"], answer["error"]) == ("failed", {"code": "compile-failed", "message": "no kernel."})


def test_a_calibration_is_queued_and_followed(service: Service) -> None:
    for path in (CALIBRATIONS, CALIBRATIONS.replace("local-cpu/tvm", "local-cpu%2Ftvm")):
        response = service.client.post(path, json={"space": SPACE.name, "budget": 10, "target_mape_pct": 5})
        assert response.status_code == 202
        answer = service.client.get(response.headers["location"]).json()
        assert answer == response.json()
        job = service.queue.get(answer["id"])
        assert job.request == {
            "device": PROFILE.id,
            "space": SPACE.name,
            "supernet": None,
            "budget": 10,
            "target_mape_pct": 5,
            "sources": None,
            "precisions": "all",
            "seed": 0,
        }
        problem_of(service.client.get(f"/v1/searches/{job.id}"), 404, "unknown-search")
        service.queue.cancel(job.id)


@pytest.mark.parametrize("space", ["nasbench201", "fbnet", "mnasnet"])
def test_a_space_without_a_supernet_is_calibrated_too(service: Service, space: str) -> None:
    response = service.client.post(CALIBRATIONS, json={"space": space})
    assert response.status_code == 202
    service.queue.cancel(response.json()["id"])


def test_a_device_that_was_measured_here_is_a_source(service: Service) -> None:
    address = "/v1/devices/local-cpu/onnxruntime/calibrations"
    response = service.client.post(address, json={"space": SPACE.name, "sources": [PROFILE.id]})
    assert response.status_code == 202, response.text
    service.queue.cancel(response.json()["id"])
    wrong = service.client.post(address, json={"space": SPACE.name, "sources": [PROFILE.id, "pixel_9"]})
    assert wrong_fields(wrong) == ["sources.1"]


def test_whole_numbers_are_taken_where_fractions_are(service: Service) -> None:
    body = SEARCH | {"limits": {"max_latency_p95_ms": 2, "min_accuracy": 0}}
    response = service.client.post("/v1/searches", json=body)
    assert response.status_code == 202, response.text
    service.queue.cancel(response.json()["id"])


@pytest.mark.parametrize("unknown", ["x", "0" * 32, "%00", "a" * 300])
def test_unknown_jobs(service: Service, unknown: str) -> None:
    problem_of(service.client.get(f"/v1/searches/{unknown}"), 404, "unknown-search")
    problem_of(service.client.get(f"/v1/calibrations/{unknown}"), 404, "unknown-calibration")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"device": "phone"}, "device"),
        ({"device": "a\x00b"}, "device"),
        ({"device": "lone \ud800"}, "device"),
        ({"device": 7}, "device"),
        ({"device": None}, "device"),
        ({"space": "resnet"}, "space"),
        ({"space": "mobilenet_v3:imagenet"}, "space"),
        ({"supernet": "0" * 64}, "supernet"),
        ({"supernet": "5"}, "supernet"),
        ({"evaluations": 0}, "evaluations"),
        ({"evaluations": -5}, "evaluations"),
        ({"evaluations": 3}, "evaluations"),
        ({"evaluations": 1.5}, "evaluations"),
        ({"evaluations": True}, "evaluations"),
        ({"evaluations": "5"}, "evaluations"),
        ({"seed": "0"}, "seed"),
        ({"seed": False}, "seed"),
        ({"limits": {"max_latency_p95_ms": True}}, "limits.max_latency_p95_ms"),
        ({"limits": {"max_latency_p95_ms": "2"}}, "limits.max_latency_p95_ms"),
        ({"limits": {"max_size_bytes": "70000"}}, "limits.max_size_bytes"),
        ({"evaluations": 10**30}, "evaluations"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"budget": 5}, "budget"),
        ({"limits": {"max_latency_p95_ms": -1}}, "limits.max_latency_p95_ms"),
        ({"limits": {"max_latency_p95_ms": float("nan")}}, "limits.max_latency_p95_ms"),
        ({"limits": {"max_latency_p95_ms": float("inf")}}, "limits.max_latency_p95_ms"),
        ({"limits": {"min_accuracy": 2}}, "limits.min_accuracy"),
        ({"limits": {"max_size_bytes": 0}}, "limits.max_size_bytes"),
        ({"limits": {"latency": 1}}, "limits.latency"),
        ({"limits": []}, "limits"),
        ({"limits": {"max_peak_memory_bytes": 1.5}}, "limits.max_peak_memory_bytes"),
        ({"limits": {"max_size_bytes": 1000}}, "limits.max_size_bytes"),
        ({"method": "grid"}, "method"),
        ({"objectives": ["accuracy"]}, "objectives"),
        ({"objectives": ["accuracy", "accuracy"]}, "objectives"),
        ({"objectives": ["accuracy", "speed"]}, "objectives.1"),
        ({"objectives": ["accuracy", "size_bytes", "load_time_ms", "latency_p50_ms", "latency_p95_ms"]}, "objectives"),
    ],
)
def test_a_wrong_field_of_a_search_is_named_and_nothing_is_queued(
    service: Service, change: dict[str, Any], field: str
) -> None:
    before = service.queue.all()
    response = service.client.post("/v1/searches", content=json.dumps(SEARCH | change), headers=JSON)
    assert wrong_fields(response) == [field]
    assert service.queue.all() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"space": "resnet"}, "space"),
        ({"space": "nasbench201", "budget": 5425}, "budget"),
        ({"budget": 4}, "budget"),
        ({"sources": "a"}, "sources"),
        ({"budget": 2100}, "budget"),
        ({"budget": "20"}, "budget"),
        ({"budget": True}, "budget"),
        ({"target_mape_pct": "5"}, "target_mape_pct"),
        ({"sources": ["a", ""]}, "sources.1"),
        ({"sources": ["nowhere"]}, "sources.0"),
        ({"sources": ["local-cpu/onnxruntime"]}, "sources.0"),
        ({"sources": [PROFILE.id]}, "sources.0"),
        ({"precisions": "int4"}, "precisions"),
        ({"supernet": "0" * 64}, "supernet"),
        ({"target_mape_pct": 0}, "target_mape_pct"),
        ({"target_mape_pct": float("nan")}, "target_mape_pct"),
        ({"device": PROFILE.id}, "device"),
    ],
)
def test_a_wrong_field_of_a_calibration_is_named(service: Service, change: dict[str, Any], field: str) -> None:
    response = service.client.post(CALIBRATIONS, content=json.dumps({"space": SPACE.name} | change), headers=JSON)
    assert wrong_fields(response) == [field]


def test_a_calibration_of_an_unknown_device(service: Service) -> None:
    response = service.client.post("/v1/devices/phone/calibrations", json={"space": SPACE.name})
    problem_of(response, 404, "unknown-device")
