"""What ``hwnas quickstart`` refuses before it begins; the whole of it is in tests/nas/workflows/test_quickstart.py."""

import pytest

from nas.cli.quickstart import default_folder


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("nasbench201", "nasbench201 has no supernet"),
        ("resnet:imagenet", "resnet:imagenet needs images of at least 64 pixels"),
        ("resnet:huge", "unknown search space 'resnet:huge'"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_in_one_sentence(hwnas, space, message):
    assert message in hwnas.refused("quickstart", "--space", space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("fbnet", "fbnet has no supernet; give one of"),
        ("resnet:imagenet", "Scale them up or choose a smaller space"),
    ],
)
def test_training_refuses_such_spaces_too(hwnas, space, message):
    assert message in hwnas.refused("train", "--space", space)
    assert not (hwnas.home / "supernets").exists()


def test_each_space_has_a_folder_of_its_own():
    assert default_folder("mobilenet_v3:tiny") == "quickstart"
    assert default_folder("resnet:tiny") == "quickstart-resnet-tiny"
