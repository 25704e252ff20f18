"""Files by hash: what comes is checked, what lies there is checked again, old ones make room."""

import hashlib
import os

import pytest

from hw_profiles.agent.files import FileRefusedError, TaskFiles
from hw_profiles.agent.tasks import TaskError, TaskFile, TaskNetwork
from hw_profiles.agent.tokens import AgentToken, is_signed, sign
from search_spaces.errors import UsageError

CONTENT = b"some bytes"


def file_of(content, suffix=".onnx"):
    return TaskFile(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), suffix=suffix)


def test_a_file_is_downloaded_once_and_again_when_it_was_changed(tmp_path):
    asked = []

    def download(sha256):
        asked.append(sha256)
        yield CONTENT[:4]
        yield CONTENT[4:]

    files = TaskFiles(tmp_path, download)
    wanted = file_of(CONTENT)
    path = files.get(wanted)
    assert (path.read_bytes(), path.suffix) == (CONTENT, ".onnx")
    assert files.get(wanted) == path
    assert len(asked) == 1
    path.write_bytes(b"some bytez")
    assert files.get(wanted).read_bytes() == CONTENT
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("sent", "message"), [(CONTENT[:-1], "truncated"), (b"SOME bytes", "forged"), (CONTENT + b"!", "larger")]
)
def test_what_is_not_the_file_is_refused_and_not_kept(tmp_path, sent, message):
    with pytest.raises(FileRefusedError, match=message):
        TaskFiles(tmp_path, lambda _sha256: [sent]).get(file_of(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_the_files_used_longest_ago_make_room(tmp_path):
    contents = {hashlib.sha256(content).hexdigest(): content for content in (b"a" * 40, b"b" * 40, b"c" * 40)}
    files = TaskFiles(tmp_path, lambda sha256: [contents[sha256]], kept_bytes=100)
    paths = [files.get(file_of(content)) for content in (b"a" * 40, b"b" * 40)]
    os.utime(paths[0], (2, 2))
    os.utime(paths[1], (1, 1))
    files.get(file_of(b"c" * 40))
    assert [path.exists() for path in paths] == [True, False]


@pytest.mark.parametrize(
    "row",
    [
        {"sha256": "../" + "a" * 61, "size_bytes": 1, "suffix": ""},
        {"sha256": "a" * 64, "size_bytes": 1, "suffix": "/../x"},
        {"sha256": "a" * 64, "size_bytes": -1, "suffix": ""},
        {"sha256": "a" * 64, "size_bytes": True, "suffix": ""},
        {},
    ],
)
def test_a_file_is_a_hash_a_size_and_an_ending(row):
    with pytest.raises(TaskError):
        TaskFile.from_json(row)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", "a b", "."])
def test_a_networks_name_is_no_path(name):
    with pytest.raises(TaskError):
        TaskNetwork.from_json({"name": name, "quantized": False, "files": {}, "tolerances": {}})


def test_a_signature_is_of_one_body_and_one_token():
    token, other = AgentToken.new(), AgentToken.new()
    signature = sign(token.signing_key, b"a task")
    assert is_signed(token.signing_key, b"a task", signature)
    assert not is_signed(token.signing_key, b"a tasK", signature)
    assert not is_signed(other.signing_key, b"a task", signature)
    assert not is_signed(token.authentication_key, b"a task", signature), "what travels does not sign"
    assert not is_signed(token.signing_key, b"a task", "é")
    with pytest.raises(UsageError, match="hwnas agents create"):
        AgentToken.parse("secret")
