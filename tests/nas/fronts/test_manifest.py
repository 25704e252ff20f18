"""The manifest of an exported candidate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.fronts.manifest import (
    InputFormat,
    ManifestError,
    ModelInterface,
    build_manifest,
    feed,
    file_names,
    manifest_bytes,
    read_manifest,
)
from nas.store import Store
from tests.nas.store.rows import SPACE, SUPERNET_ID, put_supernet

_FILE = {"file": "model.onnx", "sha256": "a" * 64, "size_bytes": 10}


def test_a_manifest_describes_the_model(store: Store, tmp_path: Path) -> None:
    put_supernet(store)
    genotype = SPACE.sample(1, np.random.default_rng(0))[0]
    interface = ModelInterface(
        input=InputFormat(tensor=replace(SPACE.task.input, name="pixels"), scale=1 / 255, mean=(0.5,), std=(0.25,)),
        output=SPACE.task.output,
        classes=tuple("abcdefghij"),
    )
    manifest = build_manifest(
        SPACE,
        genotype,
        interface=interface,
        supernet=store.supernets.get(SUPERNET_ID),
        files={"onnx": _FILE},
        measured={"accuracy_val": 0.75},
    )
    path = tmp_path / "manifest.json"
    path.write_bytes(manifest_bytes(manifest))
    read = read_manifest(path)
    assert read == json.loads(json.dumps(manifest))
    assert read["candidate"] == SPACE.candidate(genotype).id
    assert read["genes"]["canonical"] == SPACE.to_string(genotype)
    assert SPACE.describe_precision(genotype) in read["summary"]
    assert read["input"] == {
        "name": "pixels",
        "shape": [1, *SPACE.task.input.shape],
        "dtype": "float32",
        "layout": "NCHW",
        "scale": 1 / 255,
        "mean": [0.5],
        "std": [0.25],
    }
    assert read["output"] == {"name": "logits", "shape": [1, 10], "dtype": "float32", "meaning": "logits"}
    assert read["classes"] == list("abcdefghij")
    assert (read["supernet"], read["data"]["name"]) == (SUPERNET_ID, store.supernets.get(SUPERNET_ID).data_name)
    assert (read["hashes"], read["measured"]) == ({"onnx": "a" * 64}, {"accuracy_val": 0.75})
    assert file_names(read) == {"onnx": "model.onnx", "manifest": "manifest.json"}
    pixels = np.full((2, 28, 28, 1), 255, np.uint8)
    np.testing.assert_allclose(feed(read, pixels), np.full((2, 1, 28, 28), 2.0), rtol=1e-6)


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("{")
    with pytest.raises(ManifestError, match="export the model again"):
        read_manifest(path)
