"""Measurement tables through the commands: in, listed, out again, and what is refused."""

import dataclasses

import numpy as np
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.measurement_table import MeasurementTable
from nas.home import Home
from nas.workspace import open_workspace
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec
from tests.nas.store.rows import measurement


def table_of(space="mnasnet", count=40, seed=0, devices=("phone", "board"), task=None):
    bound = get_space(space)
    rng = np.random.default_rng(seed)
    archs = tuple(bound.to_strings(np.unique(bound.sample(count, rng), axis=0)))
    columns = {name: rng.lognormal(size=len(archs)) for name in devices}
    columns[devices[0]][::7] = np.nan
    accuracy = {task: rng.random(len(archs))} if task else {}
    return MeasurementTable(space=space, archs=archs, latency_ms=columns, accuracy=accuracy)


def same(left, right):
    return left.to_csv() == right.to_csv()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("space", ["mnasnet", "ofa_mobilenet_v3"])
def test_what_is_exported_is_what_was_imported(hwnas, tmp_path, space, name):
    table = table_of(space, task="top1")
    table.save(tmp_path / name)
    (row,) = hwnas.json("measurements", "import", tmp_path / name)
    assert (row["rows"], row["devices"], row["tasks"], row["new"]) == (len(table), ["phone", "board"], ["top1"], True)
    hwnas.json("measurements", "export", space, tmp_path / f"out-{name}")
    assert same(MeasurementTable.load(tmp_path / f"out-{name}"), table)
    assert (tmp_path / f"out-{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_importing_again_changes_nothing(hwnas, tmp_path):
    table_of().save(tmp_path / "t.csv")
    table_of().save(tmp_path / "t.csv.gz")
    hwnas.json("measurements", "import", tmp_path / "t.csv")
    before = {path: path.stat().st_mtime_ns for path in (hwnas.home / "measurement_tables").iterdir()}
    again = hwnas.json("measurements", "import", tmp_path / "t.csv", tmp_path / "t.csv.gz")
    assert [row["new"] for row in again] == [False, False]
    assert {path: path.stat().st_mtime_ns for path in (hwnas.home / "measurement_tables").iterdir()} == before


def test_a_network_recorded_twice_keeps_both_rows(hwnas, tmp_path):
    table = table_of()
    repeated = MeasurementTable(
        space=table.space,
        archs=(*table.archs, table.archs[1]),
        latency_ms={name: np.append(column, column[1] * 1.01) for name, column in table.latency_ms.items()},
        accuracy={},
    )
    repeated.save(tmp_path / "t.csv")
    hwnas.json("measurements", "import", tmp_path / "t.csv")
    table_of(devices=("other", "more")).save(tmp_path / "u.csv")
    hwnas.json("measurements", "import", tmp_path / "u.csv")
    hwnas.json("measurements", "export", "mnasnet", tmp_path / "out.csv", "-d", "phone", "-d", "board")
    found = MeasurementTable.load(tmp_path / "out.csv")
    assert sorted(map(repr, found.latency_ms["board"])) == sorted(map(repr, repeated.latency_ms["board"]))


def test_tables_of_one_space_are_joined(hwnas, tmp_path):
    first, second = table_of(), table_of(seed=1, devices=("watch",), task="top1")
    first.save(tmp_path / "a.csv")
    second.save(tmp_path / "b.csv")
    hwnas.json("measurements", "import", tmp_path / "a.csv", tmp_path / "b.csv")
    hwnas.json("measurements", "export", "mnasnet", tmp_path / "out.csv")
    joined = MeasurementTable.load(tmp_path / "out.csv")
    assert set(joined.latency_ms) == {"phone", "board", "watch"}
    for part in (first, second):
        rows = [joined.archs.index(arch) for arch in part.archs]
        for name, column in part.latency_ms.items():
            assert np.array_equal(joined.latency_ms[name][rows], column, equal_nan=True)
    listed = hwnas.json("measurements", "list")
    assert [(row["kind"], row["name"], row["file"]) for row in listed] == [
        ("latency", "phone", "a.csv"),
        ("latency", "board", "a.csv"),
        ("latency", "watch", "b.csv"),
        ("accuracy", "top1", "b.csv"),
    ]
    code, out, _ = hwnas("measurements", "list")
    assert code == 0
    assert "watch" in out


def test_what_was_measured_here_is_exported_and_imported(hwnas, tmp_path):
    profile = next(p for p in detect_profiles() if p.runtime == "onnxruntime")
    space = get_space("mobilenet_v3:tiny")
    other = TaskSpec.image_classification(channels=3, height=32, width=32, classes=5)
    rows = space.sample(6, np.random.default_rng(0))
    with open_workspace(Home(hwnas.home)) as workspace:
        store = workspace.store
        store.devices.put(profile)
        own = {"profile_id": profile.id, "fingerprint": profile.fingerprint}
        for number, candidate_id in enumerate(store.candidates.put(space, rows), start=1):
            store.measurements.add(dataclasses.replace(measurement(candidate_id, number / 3, number / 2), **own))
        (elsewhere,) = store.candidates.put(get_space(space.name, other), rows[:1])
        store.measurements.add(dataclasses.replace(measurement(elsewhere, 9.0, 9.0), **own))
    (listed,) = hwnas.json("measurements", "list")
    assert (listed["name"], listed["rows"], listed["origin"]) == (profile.id, 6, "here")
    hwnas.json("measurements", "export", space.name, tmp_path / "own.csv.gz")
    table = MeasurementTable.load(tmp_path / "own.csv.gz")
    assert table.latency_ms[profile.id].tolist() == [number / 3 for number in range(1, 7)]
    assert np.array_equal(table.genotypes(), rows)
    hwnas.json("measurements", "import", tmp_path / "own.csv.gz")
    hwnas.json("measurements", "export", space.name, tmp_path / "again.csv.gz")
    assert same(MeasurementTable.load(tmp_path / "again.csv.gz"), table)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("space,arch,latency_ms:a\nmnasnet,nonsense,1\n", "row 1:"),
        ("space,arch,latency_ms:a\nmnasnet,{0},1\nmnasnet,{1},soon\n", "row 2: latency_ms:a is 'soon'"),
        ("space,arch,latency_ms:a\nmnasnet,{0},nan\n", "row 1: latency_ms:a is 'nan'"),
        ("space,arch,latency_ms:a\nmnasnet,{0},-1\n", "row 1:"),
        ("space,arch,latency_ms:a\nmnasnet,{0}\n", "row 1 has 2 cells"),
        ("space,arch,latency_ms:a\nmnasnet,{0},1\nfbnet,{1},1\n", "use one file per space"),
        ("space,arch,latency_ms:a\nresnet,x,1\n", "unknown search space 'resnet'"),
        ("space,arch\nmnasnet,{0}\n", "neither a latency_ms:DEVICE"),
        ("space,arch,latency:a\nmnasnet,{0},1\n", "column 'latency:a' is unknown"),
        ("arch,latency_ms:a\n{0},1\n", "no column 'space'"),
        ("space,arch,latency_ms:a\n", "no rows"),
        ("", "empty"),
    ],
)
def test_a_bad_table_is_refused_with_its_row_and_nothing_is_kept(hwnas, tmp_path, content, words):
    table_of().save(tmp_path / "good.csv")
    (tmp_path / "bad.csv").write_text(content.format(*table_of().archs[:2]))
    message = hwnas.refused("measurements", "import", tmp_path / "good.csv", tmp_path / "bad.csv")
    assert words in message
    assert hwnas.json("measurements", "list") == []


def test_two_values_for_one_measurement_are_refused(hwnas, tmp_path):
    table = table_of()
    table.save(tmp_path / "a.csv")
    slower = {name: column * 2 for name, column in table.latency_ms.items()}
    MeasurementTable(space=table.space, archs=table.archs, latency_ms=slower, accuracy={}).save(tmp_path / "b.csv")
    hwnas.json("measurements", "import", tmp_path / "a.csv")
    assert "different values of 'phone'" in hwnas.refused("measurements", "import", tmp_path / "b.csv")
    assert {row["file"] for row in hwnas.json("measurements", "list")} == {"a.csv"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "missing.csv"), "missing.csv"),
        (("export", "resnet", "t.csv"), "unknown search space"),
        (("export", "fbnet", "t.csv"), "no measurements of fbnet"),
        (("export", "mnasnet", "t.json"), "must end in .csv or .csv.gz"),
        (("export", "mnasnet", "t.csv", "-d", "nobody"), "unknown device 'nobody'; known: phone, board"),
    ],
)
def test_wrong_requests(hwnas, tmp_path, arguments, words):
    table_of().save(tmp_path / "a.csv")
    hwnas.json("measurements", "import", tmp_path / "a.csv")
    assert words in hwnas.refused("measurements", *arguments)


def test_a_damaged_kept_table_says_what_to_do(hwnas, tmp_path):
    table_of().save(tmp_path / "a.csv")
    hwnas.json("measurements", "import", tmp_path / "a.csv")
    (kept,) = (hwnas.home / "measurement_tables").glob("*.csv.gz")
    kept.write_bytes(kept.read_bytes()[:100])
    code, _, err = hwnas("measurements", "list")
    assert code == 1
    assert "damaged; delete it and import its file again" in err
