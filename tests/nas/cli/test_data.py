"""``hwnas data``: files become stored data sets, which are listed and deleted."""

from tests.npz_files import npz_bytes


def test_a_file_is_added_listed_and_deleted(hwnas, tmp_path):
    path = tmp_path / "flowers.npz"
    path.write_bytes(npz_bytes())
    added = hwnas.json("data", "add", path)
    assert (added["name"], added["images_train"], added["classes"]) == ("flowers", 40, ["0", "1"])
    assert hwnas.json("data", "add", path) == added
    listed = {entry["form"]: entry["description"] for entry in hwnas.json("data", "list")}
    assert listed[added["data"]] == "flowers: 40 training and 12 test images of 28x28x1, 2 classes"
    hwnas.json("data", "delete", added["data"])
    assert added["data"] not in {entry["form"] for entry in hwnas.json("data", "list")}
    assert "no data set" in hwnas("train", "--data", added["data"])[2]


def test_what_is_no_data_set_is_refused(hwnas, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"nothing")
    assert "not a complete npz file" in hwnas.refused("data", "add", path)
    assert "is not a file" in hwnas.refused("data", "add", tmp_path / "gone.npz")
    assert "cannot name" in hwnas.refused("data", "add", path, "--name", "../x")
