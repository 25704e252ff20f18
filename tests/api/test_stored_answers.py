"""Fronts are sent from memory as they are, and never once the database is another."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.server import running
from api.stored_answers import QuickAnswers
from nas.home import Home
from nas.store import Store, open_store
from tests.api.problems import problem_of
from tests.nas.store.rows import PROFILE, front_body, front_member, open_search, put_candidates

PARETO = f"/v1/devices/{PROFILE.id}/pareto"


@dataclass(frozen=True, slots=True)
class Filled:
    """A store with one front, and a client of its service."""

    store: Store
    path: Path
    client: httpx.Client
    ids: tuple[str, ...]

    def add(self, number: int) -> str:
        """One more front, with a member of its own."""
        member = front_member(self.ids[number], p95_ms=1.0 + number, size_bytes=10, accuracy=0.3 + number / 100)
        return self.store.fronts.add("search-1", front_body([member])).id


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    path = tmp_path / "hwnas.db"
    with open_store(path) as store:
        open_search(store)
        ids = put_candidates(store, 60)
        with running(store, Home(tmp_path)) as url, httpx.Client(base_url=url) as client:
            filled = Filled(store, path, client, ids)
            filled.add(0)
            yield filled


def _settle(store: Store) -> None:
    """Waits until the files are old enough to tell a commit by."""
    while store.database.stamp() is None:
        pass


def test_a_new_front_is_seen_at_once_whoever_stores_it(filled: Filled) -> None:
    with open_store(filled.path) as other:
        writer = Filled(other, filled.path, filled.client, filled.ids)
        for number in range(1, 60):
            if number % 4 == 0:
                _settle(filled.store)
            for _ in range(2):
                filled.client.get(PARETO)
            added = writer.add(number)
            assert filled.client.get(PARETO).json()["merged"][0] == added


def test_a_kept_answer_is_the_same_in_every_form(filled: Filled) -> None:
    _settle(filled.store)
    front_id = filled.store.fronts.all()[0].id
    for path in (PARETO, f"{PARETO}?max_latency_p95_ms=2", f"/v1/fronts/{front_id}"):
        first, second = filled.client.get(path), filled.client.get(path)
        assert first.status_code == 200
        assert second.content == first.content
        assert {**second.headers, "date": ""} == {**first.headers, "date": ""}
        held = filled.client.get(path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        assert (held.status_code, held.content, held.headers["etag"]) == (304, b"", first.headers["etag"])
        assert filled.client.get(path, headers={"If-None-Match": '"x"'}).content == first.content
        asked = filled.client.head(path)
        assert (asked.content, asked.headers["content-length"]) == (b"", first.headers["content-length"])


def test_damage_is_seen_after_an_answer_was_kept(filled: Filled) -> None:
    _settle(filled.store)
    front_id = filled.store.fronts.all()[0].id
    for path in (PARETO, f"/v1/fronts/{front_id}"):
        assert [filled.client.get(path).status_code for _ in range(2)] == [200, 200]
    with closing(sqlite3.connect(filled.path)) as connection, connection:
        connection.execute("update fronts set body='{\"schema\"'")
    problem_of(filled.client.get(f"/v1/fronts/{front_id}"), 410, "front-damaged")
    filled.path.unlink()
    problem_of(filled.client.get(PARETO), 503, "store-damaged")


def test_a_kept_answer_needs_nothing_of_the_application(filled: Filled, tmp_path: Path) -> None:
    async def defect(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("the application was asked")

    async def ask() -> None:
        _settle(filled.store)
        app = create_app(store=filled.store, home=Home(tmp_path))
        front_id = filled.store.fronts.all()[0].id
        for path in (PARETO, f"/v1/fronts/{front_id}"):
            answers = []
            for inner in (app, defect):
                transport = httpx.ASGITransport(QuickAnswers(inner, app.state.answers))
                async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                    answers.append(await client.get(path))
            assert answers[1].content == answers[0].content

    asyncio.run(ask())
