"""EfficientNet-Lite0 as an ONNX graph.

The architecture is that of the EfficientNet paper's smallest network (arXiv 1905.11946), in the "lite"
variant for devices at the edge: no squeeze-and-excitation, ReLU6 for swish. The weights come from
PyTorch, with TensorFlow's padding. Batch normalisation is folded into the convolutions, since its figures
are fixed after training.

The graph takes photos as they are, so that a function needs no mathematics: `image` u8 [N,224,224,3], RGB, to
`probabilities` f32 [N,1000].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from wasmind.demo import CLASSES, SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto


_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""The stride of each block's depthwise convolution; the weights' shapes tell everything else."""
_EPSILON = 1e-3
_MEAN, _SCALE = 127.0, 128.0

_OPSET, _IR_VERSION = 13, 8
"""Old enough for every runtime that is in use."""


def build(weights: Mapping[str, NDArray[Any]]) -> ModelProto:
    """The graph with these weights, by the names they have in PyTorch. Raises KeyError for a missing one."""
    network = _Network(weights)
    x = network.preprocessed("image")
    x = network.relu6(network.convolution("_conv_stem", "_bn0", x, stride=2))
    for index, stride in enumerate(_STRIDES):
        x = network.block(f"_blocks.{index}", x, stride)
    x = network.relu6(network.convolution("_conv_head", "_bn1", x))
    network.classifier(x, "probabilities")

    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(
        network.nodes, "efficientnet-lite0", [image], [probabilities], network.initializers
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="wasmind")
    checker.check_model(model)
    return model


class _Network:
    """The graph while it grows. Methods take and give names of values."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._weights = weights
        self._zero = self._constant("zero", np.float32(0))
        self._six = self._constant("six", np.float32(6))

    def preprocessed(self, image: str) -> str:
        """Rows of u8 pixels to planes of f32 from about -1 to 1."""
        x = self._node("Transpose", [image], perm=[0, 3, 1, 2])
        x = self._node("Cast", [x], to=TensorProto.FLOAT)
        x = self._node("Sub", [x, self._constant("mean", np.float32(_MEAN))])
        return self._node("Div", [x, self._constant("scale", np.float32(_SCALE))])

    def block(self, name: str, x: str, stride: int) -> str:
        """An inverted residual: expand, filter each channel alone, project."""
        entry, channels = x, self._weights[f"{name}._project_conv.weight"].shape[0]
        expands = f"{name}._expand_conv.weight" in self._weights
        first = f"{name}._expand_conv" if expands else f"{name}._depthwise_conv"
        taken = self._weights[f"{first}.weight"].shape[1 if expands else 0]
        if expands:
            x = self.relu6(self.convolution(f"{name}._expand_conv", f"{name}._bn0", x))
        x = self.relu6(self.convolution(f"{name}._depthwise_conv", f"{name}._bn1", x, stride=stride))
        x = self.convolution(f"{name}._project_conv", f"{name}._bn2", x)
        return self._node("Add", [x, entry]) if stride == 1 and taken == channels else x

    def convolution(self, name: str, norm: str, x: str, stride: int = 1) -> str:
        """A convolution with its batch normalisation folded in."""
        weight = self._weights[f"{name}.weight"]
        gamma, beta, mean, variance = (
            self._weights[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + _EPSILON)
        kernel = weight.shape[-1]
        # TensorFlow's SAME padding, for the even sizes that occur here: the odd pixel goes last.
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        return self._node(
            "Conv",
            [
                x,
                self._constant(f"{name}.weight", weight * scale[:, None, None, None]),
                self._constant(f"{name}.bias", beta - mean * scale),
            ],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=weight.shape[0] if weight.shape[1] == 1 else 1,
        )

    def relu6(self, x: str) -> str:
        """Everything below 0 to 0, above 6 to 6."""
        return self._node("Clip", [x, self._zero, self._six])

    def classifier(self, x: str, output: str) -> None:
        """The mean of each plane, then probabilities of the classes."""
        x = self._node("Flatten", [self._node("GlobalAveragePool", [x])])
        weight, bias = (
            self._constant(f"_fc.{part}", self._weights[f"_fc.{part}"]) for part in ("weight", "bias")
        )
        x = self._node("Gemm", [x, weight, bias], transB=1)
        self.nodes.append(helper.make_node("Softmax", [x], [output], axis=1))

    def _node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def _constant(self, name: str, value: NDArray[Any] | np.float32) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name
