"""Kernels that share memory give what they give alone."""

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_profiles.runtimes.tvm_integer import elementwise
from hw_profiles.runtimes.tvm_integer.program import Program, Tensor
from hw_profiles.runtimes.tvm_integer.shapes import ActivationShape
from hw_profiles.runtimes.tvm_runtime import target_of
from tests.hw_profiles.runtimes.tvm_integer.kernels import LOCAL

SHAPE = ActivationShape(height=3, width=5, channels=16)


def _tensor(name):
    return Tensor(name=name, shape=(SHAPE.held,))


def test_tables_one_after_the_other():
    rng = np.random.default_rng(0)
    tables = [rng.permutation(256).astype(np.uint8) for _ in range(5)]
    program = Program()
    for number, table in enumerate(tables):
        program.add(
            lambda emitter: elementwise.emit_table(emitter, SHAPE),
            _tensor(f"t{number}"),
            table,
            _tensor(f"t{number + 1}"),
        )
    function, constants = program.function(["t3", "t5"])
    assert [tensor.name for tensor in program.inputs] == ["t0"]
    library = tvm.compile(tvm.IRModule({"run": function.with_attr("global_symbol", "run")}), target_of(LOCAL))
    image = rng.integers(0, 256, SHAPE.held).astype(np.uint8)
    outputs = [tvm.runtime.tensor(np.zeros(SHAPE.held, np.uint8)) for _ in range(2)]
    library["run"](tvm.runtime.tensor(image), *map(tvm.runtime.tensor, constants), *outputs)
    expected = image
    for number, table in enumerate(tables, start=1):
        expected = table[expected]
        if number in {3, 5}:
            np.testing.assert_array_equal(outputs[number == 5].numpy(), expected)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 3)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_tensors_that_live_together_do_not_overlap(sizes):
    program = Program()
    tensors = [Tensor(name="in", shape=(1,))]
    for number, (size, back) in enumerate(sizes):
        made = Tensor(name=f"t{number}", shape=(size,))
        program.add(lambda _emitter: None, tensors[max(len(tensors) - 1 - back, 0)], made)
        tensors.append(made)
    offsets, total = program._memory([])
    uses = {tensor.name: [n for n, call in enumerate(program.calls) if tensor in call.operands] for tensor in tensors}
    for one in tensors[1:]:
        assert offsets[one.name] % 64 == 0
        assert offsets[one.name] + one.size <= total
        for two in tensors[1:]:
            if one is two or max(uses[one.name]) < min(uses[two.name]) or max(uses[two.name]) < min(uses[one.name]):
                continue
            assert (
                offsets[one.name] + one.size <= offsets[two.name] or offsets[two.name] + two.size <= offsets[one.name]
            )


@pytest.mark.parametrize("name", ["t0", "t1"])
def test_written_and_read(name):
    program = Program()
    program.add(lambda _emitter: None, _tensor("t0"), _tensor("t1"))
    assert (name in program.written) == (name == "t1")
