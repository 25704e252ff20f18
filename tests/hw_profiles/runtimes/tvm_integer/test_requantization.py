"""Activations in a kernel's tile are the operator's table of 256 outputs, or are not used."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_profiles.runtimes.tvm_integer.instructions import GENERIC
from hw_profiles.runtimes.tvm_integer.schemes import Activation, Clip, Quantization

schemes = st.builds(
    Quantization, scale=st.floats(1e-4, 1.0).map(lambda value: float(np.float32(value))), zero_point=st.integers(0, 255)
)
activations = st.builds(
    Activation, kind=st.sampled_from(["hard_swish", "hard_sigmoid"]), alpha=st.just(1 / 6), beta=st.just(0.5),
    before=schemes, after=schemes,
)  # fmt: skip


@given(activations)
@settings(max_examples=200, deadline=None)
def test_steps_are_within_one_of_the_table(activation):
    centred = (np.arange(256) - activation.before.zero_point).astype(np.float32)
    values = np.clip(np.rint(activation.steps(centred, fused=False)) + activation.after.zero_point, 0, 255)
    assert np.abs(values - activation.table().astype(np.float64)).max() <= 1


@given(activations)
@settings(max_examples=200, deadline=None)
def test_a_clip_that_is_left_out_changes_nothing(activation):
    clip = Clip(zero_point=activation.before.zero_point)
    below, above = activation.clips(clip, GENERIC)
    low, high = clip.low - clip.zero_point, clip.high - clip.zero_point
    for unclipped in np.array([-4000, -1000, -300, 300, 1000, 4000], np.float32):
        if (unclipped < low and below) or (unclipped > high and above):
            continue
        ends = np.clip(np.array([unclipped, np.clip(unclipped, low, high)]), -4096, 4096).astype(np.float32)
        first, second = np.clip(np.rint(activation.steps(ends, fused=False)) + activation.after.zero_point, 0, 255)
        assert first == second


def test_table_of_hard_swish_is_onnx_arithmetic():
    activation = Activation(
        kind="hard_swish", alpha=1 / 6, beta=0.5,
        before=Quantization(scale=0.05, zero_point=128), after=Quantization(scale=0.025, zero_point=15),
    )  # fmt: skip
    table = activation.table()
    assert table[128] == 15  # zero stays zero
    assert table[0] == 15  # -6.4 and below: zero
    assert table[255] == 255  # 6.35 / 0.025 + 15, clipped
