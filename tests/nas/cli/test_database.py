"""``hwnas db``."""

from nas.store import open_store
from tests.nas.store.rows import put_device


def test_a_database_is_copied_once(hwnas, tmp_path):
    with open_store(tmp_path / "source.db") as store:
        put_device(store)
    source, target = tmp_path / "source.db", f"sqlite:///{tmp_path / 'target.db'}"
    answer = hwnas.json("db", "copy", source, target)
    assert (answer["rows"]["device_profiles"], answer["total"]) == (1, 1)
    with open_store(target) as store:
        assert len(store.devices.all()) == 1
    code, _, err = hwnas("db", "copy", source, target)
    assert (code, "device_profiles" in err, err.count("\n")) == (1, True, 1)
