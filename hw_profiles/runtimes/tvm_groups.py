"""Grouped float convolutions as fewer, wider groups, whose outputs fill whole vectors.

Where a vector of output channels spans two groups, each of its lanes reads another input channel: TVM then loads
them one by one. Zeros for the weights between merged groups cost less.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hw_profiles.runtimes.tvm_integer.grouping import merge_groups


def merge_convolution_groups(model: onnx.ModelProto) -> None:
    """Merges the groups of convolutions with constant float weights, in place; depthwise ones stay.

    Args:
        model: its tensors are not changed, since others may read them; merged weights are new ones.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        group = next((entry for entry in node.attribute if entry.name == "group"), None)
        if node.op_type != "Conv" or group is None or group.i == 1 or node.input[1] not in constants:
            continue
        weights = numpy_helper.to_array(constants[node.input[1]])
        if weights.dtype != np.float32 or weights.ndim != 4 or weights.shape[1] == 1:
            continue
        merged, groups = merge_groups(weights, group.i)
        if groups == group.i:
            continue
        name = f"{node.input[1]}:merged"
        model.graph.initializer.append(numpy_helper.from_array(merged, name))
        node.input[1] = name
        group.CopyFrom(helper.make_attribute("group", groups))
