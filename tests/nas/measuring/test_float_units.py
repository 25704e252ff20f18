"""Units that a device computes in float in spite of their precision are said, once each."""

import numpy as np

from hw_profiles.detect import resolve_profile
from nas.home import Home
from nas.measuring.context import DeviceContext
from nas.measuring.float_units import FloatUnitNotes
from nas.measuring.network_measurer import random_weight_measurer
from nas.progress import SilentProgress
from nas.workspace import open_workspace
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
PROFILE = resolve_profile("local-cpu/onnxruntime")


class Said(SilentProgress):
    """Keeps what is said."""

    def __init__(self):
        self.messages = []

    def say(self, message):
        self.messages.append(message)


def test_each_unit_is_said_once_per_precision_and_reason():
    progress = Said()
    notes = FloatUnitNotes(PROFILE, progress)
    precisions = {"stem": "int8", "first": "int8", "head": "w4a8"}
    notes.note({"stem": "no form", "first": "no form", "head": "slow"}, precisions)
    notes.note({"stem": "no form", "head": "slow"}, precisions)
    notes.note({"head": "slow"}, {"head": "int8"})
    assert progress.messages == [
        "int8 is computed in float on local-cpu/onnxruntime in stem, first: no form.",
        "w4a8 is computed in float on local-cpu/onnxruntime in head: slow.",
        "int8 is computed in float on local-cpu/onnxruntime in head: slow.",
    ]


def test_measuring_says_which_units_of_a_network_are_in_float(tmp_path):
    """ONNX Runtime has no kernels for 4-bit weights; 8-bit ones and float networks have nothing to say."""
    genotypes = np.stack([SPACE.with_policy(SPACE.smallest(), name) for name in ("fp32", "int8", "w4a8")])
    with open_workspace(Home(tmp_path)) as workspace:
        progress = Said()
        context = DeviceContext(workspace=workspace, space=SPACE, profile=PROFILE, progress=progress)
        with random_weight_measurer(context) as measurer:
            assert (measurer.latencies_ms(genotypes) > 0).all()
    (message,) = progress.messages
    units = ", ".join(SPACE.unit_precisions(SPACE.smallest()))
    assert message.startswith(f"w4a8 is computed in float on local-cpu/onnxruntime in {units}: onnxruntime computes")
