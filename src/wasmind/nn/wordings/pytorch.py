"""PyTorch's wordings, of version 2."""

from __future__ import annotations

from wasmind.nn.wordings.row import EXPORT_AGAIN, LESS, TOGETHER, Row, row

_TORCHSCRIPT = "export it again with torch.jit.script(model).save(path), or torch.jit.trace"

ROWS: tuple[Row, ...] = (
    row(
        r"mat1 and mat2 shapes cannot be multiplied \((\S+) and (\S+)\)",
        "two matrices of the sizes {0} and {1} cannot be multiplied",
        "check the dimensions that the model leaves open, such as a feature size or a sequence length",
    ),
    row(
        r"expected input\[(.*?)\] to have (\d+) channels, but got (\d+) channels instead",
        "the image [{0}] has {2} channels, and the model takes {1}",
        "RGB has 3 channels, grey 1; if {2} is a width or height, this is NHWC for an NCHW model",
    ),
    row(
        r"Expected .{0,60}\(batched\) input to (\w+), but got input of size: \[(.*?)\]",
        "{0} takes tensors of another rank than [{1}]",
        "add or drop a dimension; a missing batch dimension is a 1 in front",
    ),
    row(
        r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton "
        r"dimension (\d+)",
        "the sizes {0} and {1} meet in dimension {2}, and can only be combined when one of them is 1",
        TOGETHER,
    ),
    row(
        r"Sizes of tensors must match except in dimension (\d+)\. Expected size (\d+) but got size (\d+)",
        "tensors that the model joins along dimension {0} differ in another: {1} and {2}",
        "give them the same sizes, but for the dimension that they are joined along",
    ),
    row(
        r"shape '\[(.*?)\]' is invalid for input of size (\d+)",
        "the model reshapes {1} elements to [{0}], which has another number",
        "the model was exported for one size (often batch 1): send that, or export it for any",
    ),
    row(
        r"index out of range in self",
        "an input holds an index beyond the model's table",
        "check the vocabulary or the labels that the input was encoded with",
    ),
    row(
        r"to have one of the following scalar types: (.{1,60}?); but got torch\.(\w+) instead",
        "a {1} came where the model takes {0}",
        "declare the input's type in [models.NAME.signature], and send that",
    ),
    row(
        r"expected m1 and m2 to have the same dtype, but got: (\w+) != (\w+)",
        "{0} and {1} elements meet in a product",
        "declare the input's type in [models.NAME.signature] as the model's weights have it",
    ),
    row(
        r"output '(.{1,100}?)' holds torch\.(\w+) elements; declared is (\w+)",
        'the output "{0}" is {1}, and {2} was declared (without a declaration: f32)',
        "declare the model's inputs and outputs in [models.NAME.signature]",
    ),
    row(
        r"the model gave (\d+) outputs; declared are (\d+)",
        "the model gives {0} outputs, and {1} were declared",
        "declare all of its outputs in [models.NAME.signature], in their order",
    ),
    row(
        r"you tried to allocate (\d+) bytes",
        "the model wanted {0} bytes for one tensor, more than its process may have",
        LESS,
    ),
    row(
        r"\(at ops\.prim\.RaiseException\(",
        "the model's own program refused the input, with these words",
        "send what it asks for",
    ),
    # --- loading ------------------------------------------------------------------------------------------
    row(
        r"PytorchStreamReader failed",
        "this is no TorchScript file, or not all of one",
        EXPORT_AGAIN,
    ),
    row(
        r"Attempted to read a PyTorch file with version (\d+), but the maximum supported version for reading "
        r"is (\d+)",
        "the file's format ({0}) is newer than this PyTorch reads ({1})",
        "export it with an older torch, or install a newer one",
    ),
    row(
        r"Unknown builtin op: ([\w:.]+)",
        "the model has the operation {0}, which PyTorch does not know; custom ones, which are native code, "
        "are not loaded",
        "export the model with PyTorch's own operations",
    ),
    row(
        r"Unknown type name '([^']{1,200})'",
        "the file names {0}, which is no part of TorchScript: no Python code is loaded",
        _TORCHSCRIPT,
    ),
    row(
        r'File "code/\S+", line \d+',
        "the program in the file is damaged",
        _TORCHSCRIPT,
    ),
)
