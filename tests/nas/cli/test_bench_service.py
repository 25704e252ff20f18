"""``hwnas bench service`` on a real service."""

import json

from nas.home import Home
from nas.store import open_store
from tests.nas.store.rows import PROFILE, front_body, front_member, open_search, put_candidates


def test_every_kind_of_request_is_answered(hwnas, tmp_path):
    with open_store(Home(hwnas.home).database_url) as store:
        open_search(store)
        (candidate,) = put_candidates(store, 1)
        body = front_body([front_member(candidate, p95_ms=1.0, size_bytes=10, accuracy=0.5)])
        store.fronts.add("search-1", body)
    out = tmp_path / "rows.json"
    rows = hwnas.json("bench", "service", "--device", PROFILE.id, "--seconds", 0.3, "--connections", 3, "--out", out)
    assert json.loads(out.read_text()) == rows
    assert [row["request"] for row in rows] == ["pareto", "pareto_304", "pareto_limited", "front"]
    for row in rows:
        assert row["requests"] >= 3
        assert row["wrong"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["requests_per_s"] > 0


def test_a_home_without_a_front_is_said(hwnas):
    assert "hwnas quickstart" in hwnas.refused("bench", "service")
