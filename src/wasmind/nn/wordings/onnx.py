"""ONNX Runtime's wordings, of version 1.22 to 1.32."""

from __future__ import annotations

from wasmind.nn.wordings.row import EXPORT_AGAIN, LESS, SEND_DECLARED, TOGETHER, Row, row

ROWS: tuple[Row, ...] = (
    # --- inputs -------------------------------------------------------------------------------------------
    row(
        r"Got invalid dimensions for input: (\S+) .*?index: (\d+) Got: (\d+) Expected: (\d+)",
        'dimension {1} of input "{0}" is {2}, and the model has {3} there',
        "reshape the input; swapped sizes may mean NHWC for an NCHW model",
    ),
    row(
        r"Invalid rank for input: (\S+) Got: (\d+) Expected: (\d+)",
        'input "{0}" has {1} dimensions, and the model takes {2}',
        "add or drop a dimension; a missing batch dimension is a 1 in front",
    ),
    row(
        r"Unexpected input data type\. Actual: \(tensor\((\w+)\)\) ?, expected: \(tensor\((\w+)\)\)",
        "an input holds {0} elements, and the model takes {1}",
        "convert the elements to {1}",
    ),
    row(
        r"Required inputs \(\[(.*?)\]\) are missing",
        "the model needs {0} too",
        "set every input before compute",
    ),
    row(r"Invalid input name: ?(\S+)", 'the model has no input "{0}"', SEND_DECLARED),
    row(
        r"Invalid output name: ?(\S+)", 'the model has no output "{0}"', "ask for an output that it declares"
    ),
    # --- inside the graph ---------------------------------------------------------------------------------
    row(
        r"while running (\w+) node\. Name:'([^']*)'.*Attempting to broadcast an axis by a dimension other "
        r"than 1\. (\d+) by (\d+)",
        "at {0} the sizes {2} and {3} meet in one dimension, and can only be combined when one of them is 1",
        TOGETHER,
    ),
    row(
        r"while running (\w+) node.*(?:dimension mismatch|Incompatible dimensions)",
        "at {0} the inner dimensions of two matrices differ",
        "check the dimensions that the model leaves open, such as a feature size or a sequence length",
    ),
    row(
        r"Input shape:\{([^}]*)\}, requested shape:\{([^}]*)\}",
        "the model reshapes [{0}] to [{1}], which has another number of elements",
        "the model was exported for one size (often batch 1): send that, or export it with dynamic axes",
    ),
    row(
        r"out of data bounds, idx=(-?\d+) must be within the inclusive range \[(-?\d+),(-?\d+)\]",
        "an input holds the index {0}, and the model has a table for {1} to {2}",
        "check the vocabulary or the labels that the input was encoded with",
    ),
    row(
        r"Input channels C is not equal to kernel channels \* group\. C: (\d+) kernel channels: (\d+)",
        "the image has {0} channels, and the model takes {1}",
        "RGB has 3 channels, grey 1; if {0} is a width or height, this is NHWC for an NCHW model",
    ),
    row(
        r"Non concat axis dimensions must match",
        "two inputs that the model joins differ in another dimension",
        "give them the same sizes, but for the dimension that they are joined along",
    ),
    # --- resources ----------------------------------------------------------------------------------------
    row(
        r"Failed to allocate memory for requested buffer of size (\d+)",
        "the model wanted {0} bytes for one tensor, more than its process may have",
        LESS,
    ),
    row(
        r"SafeIntOnOverflow|Integer overflow|Tensor shape\.Size\(\) must be >= 0",
        "a size computed inside the model is impossible (negative, or too large to count)",
        "check inputs that the model reads sizes from",
    ),
    row(
        r"Exiting due to terminate flag being set",
        "the inference was stopped, by its deadline or because nobody waits for it",
        "raise models.NAME.deadline_ms if the model needs longer",
    ),
    # --- loading ------------------------------------------------------------------------------------------
    row(r"(?i)protobuf parsing failed", "this is no ONNX file, or not all of one", EXPORT_AGAIN),
    row(r"No graph was found in the protobuf", "the file has no graph in it", EXPORT_AGAIN),
    row(
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        "the file's format (IR version {0}) is newer than this ONNX Runtime reads ({1})",
        "export with an older onnx package, or install a newer onnxruntime",
    ),
    row(
        r"Opset (\d+) is under development",
        "the model uses operator set {0}, which is newer than this ONNX Runtime knows",
        "export with a lower opset_version, or install a newer onnxruntime",
    ),
    row(
        r"No Op registered for (\w+) with domain_version of (\d+)",
        "there is no operator {0} in operator set {1}",
        "export with an opset that has it, or without it",
    ),
    row(
        r"(?:Fatal error: )?([\w.]+):(\w+)\(-?\d+\) is not a registered function/op",
        "{1} is a custom operator of {0}; none are loaded here, since they are native code",
        "export the model with standard operators",
    ),
    row(
        r"Could not find an implementation for (\w+)\((\d+)\)",
        "ONNX Runtime has no {0} for this element type on the CPU",
        "export the model in f32: f64, f16 and bf16 are only partly implemented",
    ),
    row(
        r"of Optype \((\w+)\) bound to different types \(tensor\((\w+)\) and tensor\((\w+)\)",
        "{0} in the model mixes {1} and {2}",
        "export the model again: a cast is missing in it",
    ),
    row(
        r"Op \((\w+)\) \[(?:Type|Shape)InferenceError\]",
        "the shapes or types around {0} in the model do not go together",
        "export the model again; onnx.checker.check_model with full_check=True shows the place",
    ),
    row(
        r"Node input '([^']*)' is not a graph input, initializer, or output of a previous node",
        'a node of the model reads "{0}", which nothing gives',
        "export the model again; onnx.checker.check_model shows the place",
    ),
    row(
        r"External data path does not exist|external data.*(?:not|n't) (?:exist|found)",
        "the model's weights are in a second file, which is missing",
        "put it beside the model under the name it was exported with",
    ),
    row(
        r"External data path escapes|escapes working directory|escapes model directory",
        "the model keeps its weights in a file outside its own directory, and no such file is read",
        "put the weights beside the model, or export it as one file",
    ),
    row(r"NO_SUCHFILE|File doesn't exist", "the model's file is gone", "check models.NAME.path"),
)
