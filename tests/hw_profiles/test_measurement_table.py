import numpy as np
import pytest

from hw_profiles.measurement_table import MeasurementTable, TableError
from search_spaces.errors import UnknownNameError

TEXT = """space,arch,latency_ms:phone,latency_ms:gpu_1,accuracy:top1
fbnet,7-8-1-8-4-8-8-8-7-4-1-4-7-3-2-7-3-2-4-2-4-5,10.5,2.25,61.5
fbnet,5-3-5-5-0-4-7-5-5-2-0-2-4-5-1-3-7-2-6-0-4-0,,3.125,62.5
"""


def test_reads_devices_tasks_and_gaps():
    table = MeasurementTable.parse(TEXT)
    assert len(table) == 2
    assert table.space == "fbnet"
    assert np.array_equal(table.latencies("phone"), [10.5, np.nan], equal_nan=True)
    assert np.allclose(table.accuracy_fractions("top1"), [0.615, 0.625])
    assert table.genotypes().shape == (2, 22)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_saved_table_reads_back_equal(tmp_path, name):
    MeasurementTable.parse(TEXT).save(tmp_path / name)
    again = MeasurementTable.load(tmp_path / name)
    assert again.to_csv() == MeasurementTable.parse(TEXT).to_csv()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2.25", "fast", "row 1: latency_ms:gpu_1 is 'fast'"),
        ("3.125", "nan", "row 2: latency_ms:gpu_1 is 'nan'"),
        ("3.125", "-1", "row 2: latency_ms:gpu_1 is '-1'"),
        ("3.125", "0", "row 2: latency_ms:gpu_1 is '0'"),
        ("3.125,62.5", "3.125", "row 2 has 4 cells"),
        ("fbnet,5", "mnasnet,5", "row 2 is of the space 'mnasnet'"),
        ("space,arch", "space,network", "no column 'arch'"),
        ("latency_ms:phone", "latency:phone", "column 'latency:phone' is unknown"),
        ("latency_ms:phone", "latency_ms:gpu_1", "appears twice"),
    ],
)
def test_malformed_tables_are_refused_by_row(old, new, message):
    with pytest.raises(TableError, match=message):
        MeasurementTable.parse(TEXT.replace(old, new, 1))


def test_an_unparsable_string_names_its_row():
    with pytest.raises(TableError, match=r"row 2: .*22"):
        MeasurementTable.parse(TEXT.replace("5-3-5-5-0", "5-3")).genotypes()


def test_empty_missing_and_damaged_files(tmp_path):
    with pytest.raises(TableError, match="no rows"):
        MeasurementTable.parse(TEXT.splitlines()[0])
    with pytest.raises(TableError, match="cannot read"):
        MeasurementTable.load(tmp_path / "absent.csv")
    whole = MeasurementTable.parse(TEXT).to_bytes(compressed=True)
    for content in (b"not gzip", whole[:-20], whole[:20] + b"xxxxxxxx" + whole[28:]):
        (tmp_path / "broken.csv.gz").write_bytes(content)
        with pytest.raises(TableError, match="cannot read"):
            MeasurementTable.load(tmp_path / "broken.csv.gz")


def test_unknown_names_list_the_known():
    table = MeasurementTable.parse(TEXT)
    with pytest.raises(UnknownNameError, match="phone, gpu_1"):
        table.latencies("fpga")
    with pytest.raises(UnknownNameError, match="top1"):
        table.accuracy_fractions("top5")


def test_accuracies_above_all_are_refused():
    with pytest.raises(TableError, match=r"row 2: accuracy:top1 is 162\.5"):
        MeasurementTable.parse(TEXT.replace("62.5", "162.5")).accuracy_fractions("top1")
