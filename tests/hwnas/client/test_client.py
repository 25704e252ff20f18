"""The client against the real service."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from hwnas.client import (
    BatchRequest,
    CalibrationRequest,
    Client,
    ClientError,
    DamagedDownloadError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobFailedError,
    Limits,
    LimitsNotMetError,
    NotFoundError,
    ProgressBar,
    RetryPolicy,
    SearchRequest,
    ServiceUnavailableError,
    ServiceUnreachableError,
    StillActiveError,
    StillReferencedError,
    TooManyRequestsError,
    TrainingRequest,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from tests.api.conftest import ARTIFACT, FIGURES
from tests.hwnas.client.conftest import MAX_QUEUED, Cut, Served
from tests.nas.predictors_at_hand import put_latency_predictor
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID
from tests.npz_files import npz_bytes

SEARCH = SearchRequest(device=PROFILE.id, space=SPACE.name)
CALIBRATION = CalibrationRequest(device=PROFILE.id, space=SPACE.name, sources=())


def test_what_is_stored_comes_as_objects(served: Served) -> None:
    client = served.client
    client.check()
    assert {device.id for device in client.devices.list()} == {PROFILE.id, "local-cpu/onnxruntime"}
    assert SPACE.name in {space.name for space in client.search_spaces.list()}
    assert [supernet.id for supernet in client.supernets.list(space=SPACE.name)] == [SUPERNET_ID]
    assert client.supernets.get(SUPERNET_ID).space == SPACE.name
    candidate = client.candidates.get(served.candidates[0])
    assert [entry.latency_p50_ms for entry in candidate.measurements] == [1.5, None]
    assert (candidate.evaluations[0].accuracy, candidate.artifacts[0].sha256) == (0.7, served.artifact)
    assert len(list(client.candidates.list())) == len(FIGURES)
    assert [search.id for search in client.searches.list(state="running")] == ["search-1"]


def test_a_front_within_limits(served: Served) -> None:
    client = served.client
    front = client.fronts.pareto(PROFILE.id, limits=Limits(max_latency_p95_ms=1.0))
    assert [member.latency_p95_ms.measured for member in front.members] == [0.5, 0.8]
    assert front.document["members"][0] == front.members[0].document
    best = client.fronts.recommend(PROFILE.id, limits=Limits(max_latency_p95_ms=1.0))
    assert best.member.candidate == served.candidates[1]
    with pytest.raises(LimitsNotMetError, match="limits-not-met") as raised:
        client.fronts.pareto(PROFILE.id, limits=Limits(max_latency_p95_ms=0.1))
    assert raised.value.nearest["candidate"] == served.candidates[0]
    assert [entry["limit"] for entry in raised.value.unmet] == ["max_latency_p95_ms"]
    (info,) = client.fronts.list(search="search-1")
    stored = client.fronts.get(info)
    assert json.loads(served.body) == stored.document
    assert stored == client.fronts.get(info.url) == client.fronts.get(info.id)
    assert stored.baselines["random"] == ()
    client.fronts.delete(info)
    with pytest.raises(NotFoundError, match="unknown-front"):
        client.fronts.get(info)


def test_a_search_is_started_followed_and_cancelled(served: Served) -> None:
    client = served.client
    search = client.searches.start(replace(SEARCH, limits=Limits(max_latency_p95_ms=2.0), evaluations=12))
    assert (search.state, search.queue_position) == ("queued", 1)
    assert search.request["limits"] == {"max_latency_p95_ms": 2.0}
    seen = []
    with pytest.raises(WaitTimeoutError) as late:
        client.searches.wait(search, timeout_s=0, on_progress=seen.append)
    assert late.value.job == seen[-1] == search
    with pytest.raises(StillActiveError):
        client.searches.delete(search)
    job = served.claim()
    served.queue.report(job.lease, {"task": "search", "done": 1, "total": 4, "total_progress": 0.25})
    running = client.searches.get(search.url)
    assert (running.state, running.phase, running.total_progress) == ("running", "search", 0.25)
    served.queue.succeed(job.lease, {})
    assert client.searches.wait(search).state == "succeeded"
    events = list(client.searches.events(search))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].data["state"] == "succeeded"
    assert list(client.searches.events(search, after=events[-1].number)) == []
    client.searches.delete(search)
    with pytest.raises(NotFoundError):
        client.searches.get(search)

    other = client.calibrations.start(CALIBRATION)
    assert other.device == PROFILE.id
    assert client.calibrations.cancel(other.id).state == "cancelled"
    with pytest.raises(JobFailedError) as failed:
        client.calibrations.wait(other)
    assert failed.value.job.state == "cancelled"
    assert client.calibrations.wait(other, check=False).id == other.id
    assert [event.data["state"] for event in client.calibrations.events(other)] == ["queued", "cancelled"]


def test_a_batch_is_waited_for_with_a_progress_bar(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    client = served.client
    batch = client.batches.start(BatchRequest(name="both", searches=[SEARCH], calibrations=[CALIBRATION]))
    assert [member.kind for member in batch.members] == ["search", "calibration"]
    assert client.batches.get(batch) == batch
    for _ in batch.members:
        served.queue.succeed(served.claim().lease, {})
    with ProgressBar() as bar:
        assert client.batches.wait(batch.id, on_progress=bar).counts["succeeded"] == 2
    assert "succeeded" in capsys.readouterr().err
    assert [entry.name for entry in client.batches.list()] == ["both"]
    assert client.batches.cancel(batch).state == "succeeded"
    client.batches.delete(batch)


def test_a_data_set_is_uploaded_in_parts_and_trained_on(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "flowers.npz"
    path.write_bytes(npz_bytes())
    offsets: list[int] = []
    # The answer to the second part is lost: the part is not sent again.
    lost = [lambda response: response] * 2 + [_lose]
    client, _, _ = served.faulty(*lost)
    data_set = client.data_sets.upload(path, part_bytes=2500, on_progress=lambda one: offsets.append(one.offset_bytes))
    size = path.stat().st_size
    assert (data_set.state, data_set.name, offsets) == ("ready", "flowers", [*range(0, size, 2500), size])
    assert client.data_sets.upload(path) == client.data_sets.get(data_set.url) == data_set
    assert [one.id for one in client.data_sets.list(state="ready")] == [data_set.id]
    training = client.trainings.start(TrainingRequest(data=data_set.data, epochs=2, settings={"ema_decay": 0.9}))
    assert (training.state, training.epochs, training.request["ema_decay"]) == ("queued", 2, 0.9)
    with pytest.raises(StillReferencedError):
        client.data_sets.delete(data_set)
    assert client.trainings.cancel(training).state == "cancelled"
    assert [one.id for one in client.trainings.list(state="cancelled")] == [training.id]
    client.trainings.delete(training)
    client.data_sets.delete(data_set)
    with pytest.raises(NotFoundError):
        client.data_sets.get(data_set)


def _lose(_response: httpx.Response) -> httpx.Response:
    raise httpx.ReadError("connection lost")


def test_a_file_that_is_no_data_set_is_said_to_be_none(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidRequestError, match="not a complete npz file"):
        served.client.data_sets.upload(path)


def test_lists_go_on_beyond_a_page(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "_sync" if isinstance(served.client, Client) else "_async"
    monkeypatch.setattr(f"hwnas.client.{kind}.transport.PAGE_SIZE", 1)
    started = [served.client.searches.start(replace(SEARCH, seed=seed)).id for seed in range(3)]
    found = [search.id for search in served.client.searches.list(state="queued")]
    assert sorted(found) == sorted(started)


def test_predictions_of_more_candidates_than_a_request_takes(served: Served) -> None:
    predictor, _ = put_latency_predictor(served.home, served.store)
    stored = [served.store.candidates.get(one).canonical for one in served.candidates]
    asked = [stored[index % len(stored)] for index in range(1001)]
    answer = served.client.predictors.predict(predictor, asked)
    assert answer.quantity == "latency_p50_ms"
    assert [one.arch for one in answer.predictions] == asked
    (info,) = served.client.predictors.list(kind="latency")
    assert served.client.predictors.get(info.id) == info
    served.client.predictors.delete(info.id)


def test_a_wrong_request_names_its_fields(served: Served) -> None:
    with pytest.raises(InvalidRequestError, match="invalid-request") as raised:
        served.client.searches.start(replace(SEARCH, space="unknown"))
    assert [(one.field, one.place) for one in raised.value.fields] == [("space", "body")]
    assert (raised.value.status, raised.value.code) == (422, "invalid-request")


def test_the_same_request_with_the_same_key_starts_one_job(served: Served) -> None:
    first = served.client.searches.start(SEARCH, idempotency_key="night-1")
    assert served.client.searches.start(SEARCH, idempotency_key="night-1").id == first.id
    with pytest.raises(IdempotencyKeyReusedError):
        served.client.searches.start(replace(SEARCH, seed=1), idempotency_key="night-1")
    assert served.client.searches.start(SEARCH).id != first.id


def test_a_lost_answer_starts_one_job(served: Served) -> None:
    def lost(_response: httpx.Response) -> httpx.Response:
        raise httpx.ReadError("connection lost", request=httpx.Request("POST", served.url))

    client, way, delays = served.faulty(httpx.ConnectError("refused"), lost)
    search = client.searches.start(SEARCH)
    assert [entry.id for entry in client.searches.list(state="queued")] == [search.id]
    keys = [request.headers["idempotency-key"] for request in way.requests[:3]]
    assert len(set(keys)) == 1
    assert len(delays) == 2


def test_a_lost_answer_of_a_deletion_is_no_error(served: Served) -> None:
    def lost(_response: httpx.Response) -> httpx.Response:
        raise httpx.ReadError("connection lost", request=httpx.Request("DELETE", served.url))

    search = served.client.searches.start(SEARCH)
    served.client.searches.cancel(search)
    client, _, _ = served.faulty(lost)
    client.searches.delete(search)
    with pytest.raises(NotFoundError):
        client.searches.delete(search)


def test_retry_after_is_respected(served: Served) -> None:
    busy = [httpx.Response(503, headers={"Retry-After": "7"}), httpx.Response(429, headers={"Retry-After": "9"})]
    client, way, delays = served.faulty(*busy)
    assert client.devices.list()
    assert delays == [7, 9]
    assert len(way.requests) == 3

    client, _, delays = served.faulty(httpx.Response(503, text="down for now", headers={"Retry-After": "3600"}))
    with pytest.raises(ServiceUnavailableError, match="down for now") as raised:
        client.devices.list()
    assert (raised.value.retry_after_s, delays) == (3600, [])


def test_a_full_queue_is_an_error_after_the_retries(served: Served) -> None:
    for seed in range(MAX_QUEUED):
        served.client.searches.start(replace(SEARCH, seed=seed))
    client, way, delays = served.faulty(policy=RetryPolicy(attempts=3))
    with pytest.raises(TooManyRequestsError, match="queue-full") as raised:
        client.searches.start(replace(SEARCH, seed=99))
    assert len(way.requests) == 3
    assert all(delay >= raised.value.retry_after_s for delay in delays)


def test_a_service_that_is_away(served: Served) -> None:
    gone = [httpx.ConnectError("refused", request=httpx.Request("GET", served.url)) for _ in range(3)]
    client, _, delays = served.faulty(*gone, policy=RetryPolicy(attempts=3, first_delay_s=1))
    with pytest.raises(ServiceUnreachableError, match="refused"):
        client.devices.list()
    assert len(delays) == 2
    client, _, delays = served.faulty(httpx.Response(302, headers={"Location": "https://elsewhere"}))
    with pytest.raises(UnexpectedAnswerError, match="https://elsewhere"):
        client.devices.list()
    client, _, delays = served.faulty(httpx.Response(200, text="<html>"))
    with pytest.raises(UnexpectedAnswerError, match="a JSON object"):
        client.devices.list()
    assert delays == []


def test_events_go_on_after_a_lost_connection(served: Served) -> None:
    search = served.client.searches.start(SEARCH)
    served.queue.succeed(served.claim().lease, {})
    start = b'id: 1\nevent: state\ndata: {"state": "queued"}\n\n: keep-alive\n\nid: 2\neve'
    client, way, _ = served.faulty(httpx.Response(200, stream=Cut(start)))
    events = list(client.searches.events(search))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].data["state"] == "succeeded"
    assert [request.headers["last-event-id"] for request in way.requests] == ["0", "1", str(len(events))]


def test_an_artifact_is_downloaded_whole(served: Served, tmp_path: Path) -> None:
    client, way, _ = served.faulty(httpx.Response(200, stream=Cut(ARTIFACT[:5])))
    path = client.artifacts.download(served.artifact, tmp_path / "network.so")
    assert path.read_bytes() == ARTIFACT
    assert way.requests[1].headers["range"] == "bytes=5-"
    folder = tmp_path / "network"
    (artifact,) = client.candidates.get(served.candidates[0]).artifacts
    member = replace(client.fronts.pareto(PROFILE.id).members[0], artifacts={"tvm": artifact.url.removeprefix("/v1/")})
    assert client.artifacts.download_member(member, folder) == {"tvm": folder / f"{served.artifact}.so"}
    assert client.artifacts.read(artifact) == (folder / f"{served.artifact}.so").read_bytes() == ARTIFACT


def test_wrong_bytes_leave_no_file(served: Served, tmp_path: Path) -> None:
    client, _, _ = served.faulty(httpx.Response(200, content=b"forged"), httpx.Response(200, content=b"forged"))
    target = tmp_path / "files"
    target.mkdir()
    with pytest.raises(DamagedDownloadError):
        client.artifacts.download(served.artifact, target)
    with pytest.raises(DamagedDownloadError):
        client.artifacts.read(served.artifact)
    assert list(target.iterdir()) == []
    with pytest.raises(NotFoundError, match="unknown-artifact"):
        client.artifacts.download("0" * 64, target)


def test_addresses_and_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_SERVER", "https://service:8000/")
    with Client(key="secret") as client:
        assert client.url == "https://service:8000"
        assert "secret" not in repr(client) + repr(client._transport._address)
        assert client._transport._address.headers()["Authorization"] == "Bearer secret"
    with pytest.raises(ClientError, match="http://HOST:PORT"):
        Client("service:8000")


def test_the_import_is_light() -> None:
    code = (
        "import sys, hwnas.client\n"
        "heavy = {'torch', 'pydantic', 'numpy', 'sqlalchemy', 'typer', 'nas', 'api', 'search_spaces'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
