"""Files by their hash: given as they were put, or said to be gone."""

from pathlib import Path

import pytest

from nas.artifact_store import ArtifactStore
from nas.home import Home
from nas.store import open_store
from search_spaces.errors import NasError
from tests.nas.store.rows import put_candidates


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_file_that_is_not_what_was_put_is_said_with_a_step_that_works(tmp_path: Path, damage: str) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"a model")
    with open_store(tmp_path / "hwnas.db") as store:
        (candidate,) = put_candidates(store, 1)
        files = ArtifactStore(Home(tmp_path / "home"), store)
        artifact = files.put(source, "onnx", candidate)
        kept = files.path(artifact)
        assert kept.read_bytes() == b"a model"
        if damage == "gone":
            kept.unlink()
        else:
            kept.write_bytes(b"another")
        with pytest.raises(NasError, match="hwnas search --seed N"):
            files.path(artifact)
        assert files.path(files.put(source, "onnx", candidate)).read_bytes() == b"a model"
