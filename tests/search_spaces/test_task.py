import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import UnsupportedTaskError
from search_spaces.registry import get_space, space_names
from search_spaces.task import TaskSpec, TensorSpec

sides = st.integers(1, 500)
images = st.builds(
    TaskSpec.image_classification, channels=sides, height=sides, width=sides, classes=st.integers(2, 2000)
)
tensors = st.builds(
    TensorSpec,
    name=st.sampled_from(("images", "tokens", "mask")),
    shape=st.lists(sides, min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(("float32", "int64")),
)
others = st.builds(
    TaskSpec,
    inputs=st.lists(tensors, min_size=1, max_size=2).map(tuple),
    outputs=st.builds(TensorSpec, name=st.sampled_from(("logits", "scores")), shape=st.just((3,))).map(lambda t: (t,)),
)
TOKENS = TensorSpec(name="tokens", shape=(128,), dtype="int64")
LOGITS = TensorSpec(name="logits", shape=(4,))
TEXT = TaskSpec(inputs=(TOKENS,), outputs=(LOGITS,))


@given(st.one_of(images, others))
def test_stored_forms_are_read_back(task):
    assert TaskSpec.from_json(json.loads(json.dumps(task.as_json()))) == task


def test_the_stored_form_of_image_classification_stays():
    # Ids of candidates and supernets, database rows and revisions depend on it.
    stored = {"channels": 3, "height": 32, "width": 48, "classes": 10}
    task = TaskSpec.from_json(stored)
    assert list(task.as_json().items()) == list(stored.items())
    assert task == TaskSpec.image_classification(**stored)
    assert task.input == TensorSpec(name="images", shape=(3, 32, 48), dtype="float32")
    assert (task.output.name, task.classes, task.dimensions) == ("logits", 10, "3x32x48x10")
    assert task.with_classes(7) == TaskSpec.image_classification(**{**stored, "classes": 7})


def test_another_task_has_its_tensors_and_no_images():
    mask = TensorSpec(name="mask", shape=(128,), dtype="int64")
    both = TaskSpec(inputs=(TOKENS, mask), outputs=(LOGITS,))
    assert (TEXT.input, TEXT.classes, both.dimensions) == (TOKENS, 4, "128x128x4")
    assert TEXT.as_json().keys() == {"inputs", "outputs", "metric"}
    with pytest.raises(UnsupportedTaskError, match=r"one input; the task has tokens \(int64 128\), mask \(int64 128\)"):
        _ = both.input
    with pytest.raises(UnsupportedTaskError, match="takes images"):
        _ = TEXT.image


@pytest.mark.parametrize("name", space_names())
def test_spaces_of_images_refuse_text(name):
    with pytest.raises(UnsupportedTaskError, match=rf"^{name} takes images, and the task's input is tokens"):
        get_space(name, TEXT)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"channels": 1, "height": 8, "width": 8}, "is not a task"),
        ({**TEXT.as_json(), "metric": "beauty"}, "is not a task"),
        ({**TEXT.as_json(), "inputs": [{"name": "x", "shape": [3], "dtype": "complex64"}]}, "complex64"),
        ({**TEXT.as_json(), "inputs": []}, "needs inputs"),
        ({**TEXT.as_json(), "outputs": []}, "one output"),
        ({"channels": 1, "height": 0, "width": 8, "classes": 2}, "empty side"),
        ({"channels": 1, "height": 8, "width": 8, "classes": 1}, "1 class found"),
    ],
)
def test_what_is_no_task_is_refused(values, word):
    with pytest.raises(UnsupportedTaskError, match=word):
        TaskSpec.from_json(values)
