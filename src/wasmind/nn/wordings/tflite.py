"""LiteRT's wordings, of version 2."""

from __future__ import annotations

from wasmind.nn.wordings.row import LESS, TOGETHER, Row, row

ROWS: tuple[Row, ...] = (
    row(
        r"Cannot set tensor: Got value of type (\w+) but expected type (\w+) for input (\d+), name: (\S+)",
        'input "{3}" holds {0} elements, and the model takes {1}',
        "convert the elements to {1}",
    ),
    row(
        r"Multipliers must be non-negative",
        "a size computed inside the model is negative",
        "check inputs that the model reads sizes from",
    ),
    row(
        r"gather index out of bounds",
        "an input holds an index beyond the model's table",
        "check the vocabulary or the labels that the input was encoded with",
    ),
    row(
        r"XNNPack delegate failed to reshape|Given shapes, .{1,200}, are not broadcastable",
        "the sizes of two tensors differ, and neither is 1",
        TOGETHER,
    ),
    row(
        r"Encountered unresolved custom op: (\w+)",
        "{0} is a custom operator; none are loaded here, since they are native code",
        "export the model with builtin operators",
    ),
    row(
        r"Select TensorFlow op\(s\), included in the given model.*Node number \d+ \(Flex(\w+)\)",
        "the model has TensorFlow's {0}, which LiteRT alone does not run",
        "convert it with builtin operators only (target_spec.supported_ops), or serve the SavedModel itself",
    ),
    row(
        r"Op builtin_code out of range: (\d+)|Didn't find op for builtin opcode '(\w+)'",
        "the model has an operator ({0}{1}) that is newer than this LiteRT",
        "convert the model for an older version, or install a newer ai-edge-litert",
    ),
    row(
        r"Node number (\d+) \((\w+)\) failed to invoke",
        "operation {0} of the model, {1}, could not be run: its process has not the memory, or the sizes do "
        "not go together",
        LESS,
    ),
    row(
        r"Node number (\d+) \((\w+)\) failed to prepare",
        "operation {0} of the model, {1}, cannot take tensors of these sizes or types",
        TOGETHER,
    ),
)
