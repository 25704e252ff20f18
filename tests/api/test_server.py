"""Listening, readiness, and ending."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from api.change_limit import MAX_CHANGES
from api.server import StartError, running
from nas.home import Home
from nas.store import open_store
from nas.store.database import PoolSettings
from tests.api.problems import problem_of
from tests.nas.store.rows import PROFILE, SPACE, put_device, put_supernet

SERVE = """
import sys
from pathlib import Path
from api.server import serve
from nas.home import Home
from nas.store import open_store
home = Home(Path(sys.argv[1]))
with open_store(home.root / "hwnas.db") as store:
    serve(store, home, on_ready=lambda url: (sys.stdout.write(url + "\\n"), sys.stdout.flush()))
sys.stdout.write("closed\\n")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_served_process_ends_on_a_signal_and_says_nothing_of_its_own(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{url}/readyz").json() == {"status": "ok"}
    process.send_signal(number)
    out, errors = process.communicate()
    assert (process.returncode, out, errors) == (0, "closed\n", "")


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port}"), running(store, Home(tmp_path), port=port):
            pass
        with pytest.raises(StartError, match="port 70000"), running(store, Home(tmp_path), port=70000):
            pass


def test_a_database_that_is_not_migrated_or_gone_is_not_ready(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store, running(store, Home(tmp_path)) as url:
        with store.database.connection() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        response = httpx.get(f"{url}/readyz")
        problem_of(response, 503, "not-migrated")
        assert response.headers["retry-after"]
        assert httpx.get(f"{url}/livez").status_code == 200


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 5000)], ids=["deleted", "truncated"])
def test_a_database_that_is_deleted_or_damaged_is_not_ready_and_takes_no_jobs(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "hwnas.db"
    with open_store(path) as store:
        put_device(store)
        put_supernet(store)
    with open_store(path) as store, running(store, Home(tmp_path)) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        damage(path)
        problem_of(httpx.get(f"{url}/readyz"), 503, "store-damaged")
        search = {"device": PROFILE.id, "space": SPACE.name}
        response = httpx.post(f"{url}/v1/searches", json=search)
        problem_of(response, 503, "store-damaged")
        assert response.headers["retry-after"]
        assert httpx.get(f"{url}/livez").status_code == 200


def test_a_pool_that_is_used_up_is_said_and_not_a_defect(tmp_path: Path) -> None:
    pool = PoolSettings(connections=1, wait_s=0.01)
    with open_store(tmp_path / "hwnas.db", pool=pool) as store, running(store, Home(tmp_path)) as url:
        with store.database.engine.connect():
            response = httpx.get(f"{url}/v1/devices")
        problem_of(response, 503, "store-unavailable")
        assert response.headers["retry-after"]
        assert httpx.get(f"{url}/v1/devices").status_code == 200


def test_a_blocked_writer_holds_up_nobody_who_reads(tmp_path: Path) -> None:
    path = tmp_path / "hwnas.db"
    with open_store(path) as store:
        put_device(store)
        put_supernet(store)
    body = json.dumps({"device": PROFILE.id, "space": SPACE.name}).encode()
    head = b"POST /v1/searches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n%s"
    with (
        ExitStack() as stack,
        open_store(path) as store,
        running(store, Home(tmp_path)) as url,
        closing(sqlite3.connect(path, isolation_level=None)) as blocking,
    ):
        blocking.execute("BEGIN IMMEDIATE")
        address = httpx.URL(url)
        waiting = [
            stack.enter_context(socket.create_connection((address.host, address.port or 0), timeout=60))
            for _ in range(60)
        ]
        for connection in waiting:
            connection.sendall(request % (len(body), body))
        for path_of in ("/livez", "/readyz", "/v1/devices", "/v1/searches", "/v1/search-spaces"):
            assert httpx.get(f"{url}{path_of}", timeout=60).status_code == 200
        blocking.execute("ROLLBACK")
        answers = [connection.recv(65536).split(b" ", 2)[1] for connection in waiting]
        assert set(answers) <= {b"202", b"503"}
        assert answers.count(b"202") >= MAX_CHANGES


def test_a_defect_is_a_problem_without_its_innards(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store, running(store, Home(tmp_path)) as url:
        with store.database.connection() as connection:
            connection.execute(text("DROP TABLE fronts"))
            profile = json.dumps({"id": "x"})
            connection.execute(
                text("INSERT INTO device_profiles VALUES ('x', :hash, :profile, '2026-01-01 00:00:00.000000')"),
                {"hash": "f" * 64, "profile": profile},
            )
        document = problem_of(httpx.get(f"{url}/v1/devices"), 500, "internal")
        assert "x" not in document["detail"].split()
        assert httpx.get(f"{url}/livez").status_code == 200


def test_the_service_knows_neither_torch_nor_tvm() -> None:
    program = "import sys, api.server; print(sorted({'torch', 'tvm', 'onnxruntime', 'optuna'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
