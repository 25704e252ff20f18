"""Jobs of all kinds while workers, service and database fail: nothing lost, doubled, stale, wrong or different."""

import pytest

from tests.databases import missing_postgres

SMALL = (
    "--trainings", 4, "--calibrations", 1, "--searches", 1, "--kills", 3, "--pauses", 1, "--outages", 1,
    "--server-kills", 1,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled(hwnas, tmp_path, database):
    if database == "postgresql" and (reason := missing_postgres()):
        pytest.skip(reason)
    (row,) = hwnas.json("bench", "chaos", "--database", database, *SMALL, "--keep", tmp_path / "kept")
    assert (row["kills"], row["pauses"], row["outages"], row["server_kills"]) == (3, 1, 1, 1)
    assert row["succeeded"] == row["jobs"] == 6
    assert row["claims"] >= row["jobs"] + 4, "each killed or stopped worker lost a job"
    assert {row[name] for name in ("lost", "doubled", "failed", "stale_writes", "wrong_results", "different")} == {0}
    assert row["compared"] == 3


def test_a_database_that_is_unknown_is_refused(hwnas):
    assert "sqlite, postgresql or both" in hwnas.refused("bench", "chaos", "--database", "oracle")
