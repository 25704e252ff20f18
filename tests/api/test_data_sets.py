"""Data sets over HTTP: announced, uploaded in parts, continued, refused, deleted; trainings on them."""

import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from nas.home import Home
from nas.jobs import JobQueue
from nas.store import Store, open_store
from nas.store.supernets import NewSupernet
from nas.training.settings import TrainingSettings, default_epochs
from tests.api.problems import problem_of
from tests.nas.store.rows import SPACE, put_supernet
from tests.npz_files import npz_bytes

WHOLE = npz_bytes()
BYTES = "application/octet-stream"
LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class Uploading:
    store: Store
    url: str
    clients: dict[str, httpx.Client]

    @property
    def client(self) -> httpx.Client:
        return self.clients["a"]

    def begin(self, content: bytes = WHOLE, name: str = "flowers", tenant: str = "a") -> httpx.Response:
        body = {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return self.clients[tenant].post("/v1/data-sets", json=body)

    def send(self, url: str, content: bytes, offset: int, tenant: str = "a", **headers: str) -> httpx.Response:
        sent = {"Upload-Offset": str(offset), "Content-Type": BYTES, **headers}
        return self.clients[tenant].patch(url, content=content, headers=sent)

    def ready(self, content: bytes = WHOLE, name: str = "flowers", tenant: str = "a") -> dict[str, Any]:
        url = self.begin(content, name, tenant).json()["url"]
        answer = self.send(url, content, 0, tenant)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def uploading(tmp_path: Path) -> Iterator[Uploading]:
    settings = ServiceSettings(require_keys=True, max_upload_bytes=LIMIT)
    with open_store(tmp_path / "hwnas.db") as store, running(store, Home(tmp_path), settings=settings) as url:
        clients = {}
        for tenant, scopes in (("a", ("read", "submit")), ("b", ("read", "submit")), ("root", ("admin",))):
            _, key = store.api_keys.create(name=tenant, tenant=tenant, scopes=frozenset(scopes))  # type: ignore[arg-type]
            clients[tenant] = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        yield Uploading(store, url, clients)
        for client in clients.values():
            client.close()


def test_an_upload_in_parts(uploading: Uploading) -> None:
    begun = uploading.begin()
    assert (begun.status_code, begun.headers["location"]) == (201, begun.json()["url"])
    url = begun.json()["url"]
    half = len(WHOLE) // 2
    part = uploading.send(url, WHOLE[:half], 0)
    assert (part.status_code, part.json()["state"], part.json()["offset_bytes"]) == (200, "uploading", half)
    head = uploading.client.head(url)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == (str(half), str(len(WHOLE)))
    assert (head.content, head.headers["cache-control"]) == (b"", "no-store")
    again = uploading.begin()
    assert (again.status_code, again.json()["offset_bytes"]) == (200, half)
    wrong = uploading.send(url, WHOLE[half:], 0)
    problem_of(wrong, 409, "wrong-offset")
    assert wrong.headers["upload-offset"] == str(half)
    done = uploading.send(url, WHOLE[half:], half).json()
    assert (done["state"], done["data"], done["classes"]) == ("ready", f"stored:{done['id']}", ["0", "1"])
    assert done["task"] == {"channels": 1, "height": 28, "width": 28, "classes": 2}
    assert uploading.client.get(url).json() == done
    assert uploading.client.get("/v1/data-sets", params={"state": "ready"}).json()["data_sets"] == [done]
    problem_of(uploading.send(url, b"x", len(WHOLE)), 409, "upload-ended")


def test_what_arrived_before_a_connection_broke_is_kept(uploading: Uploading) -> None:
    url = uploading.begin().json()["url"]
    address = urlsplit(uploading.url)
    head = (
        f"PATCH {url} HTTP/1.1\r\nHost: x\r\nContent-Type: {BYTES}\r\nUpload-Offset: 0\r\n"
        f"Authorization: {uploading.client.headers['authorization']}\r\nContent-Length: {len(WHOLE)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head.encode() + WHOLE[:1000])
        while uploading.client.get(url).json()["offset_bytes"] < 1000:
            pass
        problem_of(uploading.send(url, WHOLE, 0), 503, "upload-busy")
    while (answer := uploading.send(url, WHOLE[1000:], 1000)).status_code == 503:
        pass  # until the service has seen that the connection ended
    assert answer.json()["state"] == "ready"


def test_wrong_uploads_are_refused(uploading: Uploading) -> None:
    url = uploading.begin().json()["url"]
    problem_of(uploading.send(url, WHOLE, 0, **{"Content-Type": "application/json"}), 415, "unsupported-media-type")
    problem_of(uploading.send(url, WHOLE + b"x", 0), 422, "too-many-bytes")
    problem_of(uploading.client.patch(url, content=b"x", headers={"Content-Type": BYTES}), 422, "invalid-request")
    garbage = b"garbage"
    refused = uploading.begin(garbage, "garbage").json()["url"]
    problem_of(uploading.send(refused, garbage, 0), 422, "bad-data")
    found = uploading.client.get(refused).json()
    assert found["state"] == "refused"
    assert "not a complete npz" in found["error"]
    body = {"name": "big", "size_bytes": LIMIT + 1, "sha256": "a" * 64}
    problem_of(uploading.client.post("/v1/data-sets", json=body), 413, "upload-too-large")
    for name in ("../x", "", "a/b", ".x"):
        problem_of(uploading.client.post("/v1/data-sets", json=body | {"name": name}), 422, "invalid-request")


def test_bodies_beyond_the_bound_of_other_requests_are_streamed(uploading: Uploading) -> None:
    content = bytes(3 << 20)
    url = uploading.begin(content, "zeros").json()["url"]
    problem_of(uploading.send(url, content, 0), 422, "bad-data")


def test_data_sets_and_what_is_trained_on_them_belong_to_their_tenant(uploading: Uploading) -> None:
    data_set = uploading.ready()
    other = uploading.clients["b"]
    problem_of(other.get(data_set["url"]), 404, "unknown-data-set")
    problem_of(other.delete(data_set["url"]), 404, "unknown-data-set")
    problem_of(uploading.send(data_set["url"], b"x", 0, "b"), 404, "unknown-data-set")
    assert other.get("/v1/data-sets").json()["data_sets"] == []
    wrong = problem_of(other.post("/v1/supernets", json={"data": data_set["data"]}), 422, "invalid-request")
    assert wrong["errors"][0]["field"] == "data"
    training = uploading.client.post("/v1/supernets", json={"data": data_set["data"]}).json()
    problem_of(other.get(training["url"]), 404, "unknown-training")
    supernet = _train(uploading, training, data_set)
    assert uploading.client.get(supernet).json()["data_set"] == data_set["url"]
    problem_of(other.get(supernet), 404, "unknown-supernet")
    assert other.get("/v1/supernets").json()["supernets"] == []
    search = {"device": "local-cpu/tvm", "space": SPACE.name, "supernet": supernet.rpartition("/")[2]}
    assert problem_of(other.post("/v1/searches", json=search), 422, "invalid-request")
    referenced = problem_of(uploading.client.delete(data_set["url"]), 409, "still-referenced")
    assert referenced["referrers"] == [supernet]
    problem_of(uploading.client.delete(supernet), 403, "missing-scope")
    assert uploading.clients["root"].delete(supernet).status_code == 204
    assert uploading.client.delete(data_set["url"]).status_code == 204
    problem_of(uploading.client.get(data_set["url"]), 404, "unknown-data-set")


def _train(uploading: Uploading, training: dict[str, Any], data_set: dict[str, Any]) -> str:
    """Stores what a worker would; gives the supernet's address."""
    queue = JobQueue(uploading.store)
    job = queue.claim("here:1", kinds=("training",), lease_s=60)
    assert job is not None
    assert job.id == training["id"]
    supernet = NewSupernet(
        id="7" * 64, space=SPACE.name, task=SPACE.task, data_name="npz:flowers.npz",
        data_fingerprint=data_set["data_fingerprint"], folder="7", metrics={}, data_set_id=data_set["id"],
    )  # fmt: skip
    uploading.store.supernets.put(supernet, lease=job.lease)
    queue.succeed(job.lease, {"supernet": supernet.id})
    found = uploading.client.get(training["url"]).json()
    assert (found["state"], found["total_progress"], found["epochs_done"]) == ("succeeded", 1.0, 200.0)
    return str(found["supernet"])


def test_a_supernet_that_the_command_line_trains_too_is_everyones(uploading: Uploading) -> None:
    data_set = uploading.ready()
    training = uploading.client.post("/v1/supernets", json={"data": data_set["data"]}).json()
    supernet = _train(uploading, training, data_set)
    put_supernet(uploading.store, "7" * 64)
    assert uploading.clients["b"].get(supernet).status_code == 200


def test_whole_numbers_may_have_a_point(uploading: Uploading) -> None:
    """As in JSON Schema, where 5.0 is an integer."""
    sent = '{"epochs": 3.0, "seed": 2e0}'
    headers = {"Content-Type": "application/json"}
    request = uploading.client.post("/v1/supernets", content=sent, headers=headers).json()["request"]
    assert (request["epochs"], request["seed"]) == (3, 2)
    assert isinstance(request["epochs"], int)
    refused = uploading.client.post("/v1/supernets", content='{"epochs": 3.5}', headers=headers)
    problem_of(refused, 422, "invalid-request")


def test_a_small_data_set_is_passed_over_more_often_by_default(uploading: Uploading) -> None:
    data_set = uploading.ready()
    request = uploading.client.post("/v1/supernets", json={"data": data_set["data"]}).json()["request"]
    assert request["epochs"] == default_epochs(TrainingSettings(), data_set["images_train"]) == 200


def test_a_training_names_every_setting(uploading: Uploading) -> None:
    data_set = uploading.ready()
    body = {"data": data_set["data"], "epochs": 3, "optimizer": "adamw", "settings": {"ema_decay": 0.9}}
    training = uploading.client.post("/v1/supernets", json=body, headers={"Idempotency-Key": "t"})
    assert (training.status_code, training.headers["location"]) == (202, training.json()["url"])
    request = training.json()["request"]
    assert (request["epochs"], request["optimizer"], request["ema_decay"]) == (3, "adamw", 0.9)
    assert (request["learning_rate"], request["flip"], request["space"]) == (3e-3, False, "mobilenet_v3:tiny")
    again = uploading.client.post("/v1/supernets", json=body, headers={"Idempotency-Key": "t"})
    assert again.headers["idempotency-replayed"] == "true"
    problem_of(uploading.client.delete(data_set["url"]), 409, "still-referenced")
    assert uploading.client.post(training.json()["url"] + ":cancel").json()["state"] == "cancelled"
    assert uploading.client.get("/v1/trainings", params={"state": "cancelled"}).json()["trainings"][0]["epochs"] == 3
    assert uploading.client.delete(training.json()["url"]).status_code == 204
    assert uploading.client.delete(data_set["url"]).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": "npz:/etc/passwd"}, "data"),
        ({"data": "stored:" + "0" * 32}, "data"),
        ({"space": "nasbench201"}, "space"),
        ({"space": "no-space"}, "space"),
        ({"epochs": 0}, "epochs"),
        ({"settings": {"epochs": 3}}, "settings"),
        ({"settings": {"no_setting": 3}}, "settings"),
        ({"settings": {"ema_decay": True}}, "settings"),
        ({"settings": {"ema_decay": 2.0}}, "settings"),
        ({"init": "0" * 64}, "init"),
    ],
)
def test_wrong_trainings_are_refused(uploading: Uploading, body: dict[str, Any], field: str) -> None:
    problem = problem_of(uploading.client.post("/v1/supernets", json=body), 422, "invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_data_set_that_is_not_ready_cannot_be_trained_on(uploading: Uploading) -> None:
    data = uploading.begin().json()["data"]
    problem = problem_of(uploading.client.post("/v1/supernets", json={"data": data}), 422, "invalid-request")
    assert "uploading" in problem["detail"]
