"""TensorFlow's wordings, of version 2."""

from __future__ import annotations

from wasmind.nn.wordings.row import LESS, TOGETHER, Row, row

ROWS: tuple[Row, ...] = (
    row(
        r"Matrix size-incompatible: In\[0\]: \[([\d,]*)\], In\[1\]: \[([\d,]*)\]",
        "two matrices of the sizes [{0}] and [{1}] cannot be multiplied",
        "check the dimensions that the model leaves open, such as a feature size or a sequence length",
    ),
    row(
        r"(?:Incompatible shapes|required broadcastable shapes)",
        "the sizes of two tensors differ, and neither is 1",
        TOGETHER,
    ),
    row(
        r"ConcatOp : Dimension (\d+) in both shapes must be equal",
        "tensors that the model joins differ in dimension {0}",
        "give them the same sizes, but for the dimension that they are joined along",
    ),
    row(
        r"Input to reshape is a tensor with (\d+) values, but the requested shape has (\d+)",
        "the model reshapes {0} elements to {1}",
        "the model was exported for one size (often batch 1): send that, or export it for any",
    ),
    row(
        r"indices\[[\d,]*\] = (-?\d+) is not in \[(\d+), (\d+)\)",
        "an input holds the index {0}, and the model has a table from {1} up to, not including, {2}",
        "check the vocabulary or the labels that the input was encoded with",
    ),
    row(
        r"OOM when allocating tensor with shape\[([\d,]*)\]",
        "the model wanted a tensor [{0}], more than its process may have",
        LESS,
    ),
    row(
        r"Op type not registered '(\w+)'",
        "{0} is a custom operation; none are loaded here, since they are native code",
        "save the model with TensorFlow's own operations",
    ),
    row(
        r"SavedModel file does not exist at: (\S+)",
        "the directory has no saved_model.pb",
        "give the path of the SavedModel's directory",
    ),
    row(
        r"Error (?:when )?pars(?:e|ing) ?\S* ?protobuf|Cannot parse file|DecodeError|Error parsing message",
        "saved_model.pb is no SavedModel, or not all of one",
        "save the model again, or check that all of its files arrived",
    ),
    row(
        r"(?:Unsuccessful TensorSliceReader constructor|Failed to find any matching files for) .*variables",
        "the SavedModel's variables are missing",
        "bring the whole directory: saved_model.pb and variables/",
    ),
)
