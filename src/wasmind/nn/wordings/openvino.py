"""OpenVINO's wordings, of version 2026."""

from __future__ import annotations

from wasmind.nn.wordings.row import EXPORT_AGAIN, LESS, TOGETHER, Row, row

ROWS: tuple[Row, ...] = (
    # --- inputs and sizes ---------------------------------------------------------------------------------
    row(
        r"Can't set the input tensor with index: (\d+), because the model input \(shape=(\S+)\) and the "
        r"tensor \(shape=\(([\d.]*)\)\) are incompatible",
        "input {0} has the shape ({2}), and the model takes {1}",
        "reshape the input; swapped sizes may mean NHWC for an NCHW model",
    ),
    row(
        r"Failed to set tensor for input with precision: (\w+), since the model input tensor precision is: "
        r"(\w+)",
        "an input holds {0} elements, and the model takes {1}",
        "convert the elements to {1}",
    ),
    row(
        r"(?i)matmul input shapes are incompatible shape A: \(([\d.]*)\) shape B: \(([\d.]*)\)",
        "two matrices of the sizes ({0}) and ({1}) cannot be multiplied",
        "check the dimensions that the model leaves open, such as a feature size or a sequence length",
    ),
    row(
        r"\[CPU\] (\w+) node with name '([^']*)'.*input shapes dim index: (\d+) mismatch",
        "at {0} the sizes of two tensors differ in dimension {2}, and neither is 1",
        TOGETHER,
    ),
    row(
        r"equal dimension everywhere except on the concatenation axis",
        "two tensors that the model joins differ in another dimension",
        "give them the same sizes, but for the dimension that they are joined along",
    ),
    row(
        r"the shape of input data \(([\d.]*)\) conflicts with the reshape pattern \(([\d.-]*)\)",
        "the model reshapes ({0}) to ({1}), which has another number of elements",
        "the model was exported for one size (often batch 1): send that, or export it with dynamic axes",
    ),
    row(
        r"Input and filter channels must match",
        "the image has another number of channels than the model takes",
        "RGB has 3 channels, grey 1; a width in that place means NHWC for an NCHW model",
    ),
    row(
        r"Value (-\d+) not in range \[0:",
        "a size computed inside the model is {0}",
        "check inputs that the model reads sizes from",
    ),
    row(
        r"doesn't support (\w+) operation with dynamic rank",
        "OpenVINO runs no {0} whose number of dimensions is open",
        "export the model with known ranks, or run it on another framework (`runtime`)",
    ),
    row(
        r"Failed to allocate (\d+) bytes of memory",
        "the model wanted {0} bytes for one tensor, more than its process may have",
        LESS,
    ),
    row(
        r"Can not clone DnnlBlockedMemoryDesc with dims: \{([\d, ]{1,200})\}",
        "the model wanted a tensor of the size [{0}], which no processor can hold",
        LESS,
    ),
    # --- loading ------------------------------------------------------------------------------------------
    row(
        r"Error parsing .{0,80} at offset (\d+)",
        "the model's XML is damaged at byte {0}",
        EXPORT_AGAIN,
    ),
    row(
        r"Empty weights data in bin file or bin file cannot be found",
        "the model's weights are in a second file, which is missing or empty",
        "put the .bin beside the .xml under the same name, name it in models.NAME.weights, or give it as the "
        "second builder",
    ),
    row(
        r"Incorrect weights in bin file",
        "the weights do not belong to this model, or are cut off",
        "take the .bin that was exported together with the .xml",
    ),
    row(
        r"Opset (\w+) doesn't contain the operation with type: (\w+)",
        "{1} is no operation of OpenVINO's {0}; custom ones, which are native code, are not loaded",
        "export the model with standard operations, or install a newer openvino",
    ),
    row(
        r"Cannot create (?:(\w+) )?layer .{0,200}from unsupported opset: ?(\S*)",
        "the XML has a layer of the operation set {1!r}, which this OpenVINO does not know",
        "export the model with this version of OpenVINO, or install a newer one",
    ),
    row(
        r"Unable to read the model: \S+ Please check that model format",
        "the XML is no OpenVINO model of a version that is known (10 or 11)",
        "convert the model again with this version of OpenVINO",
    ),
    row(
        r"No conversion rule found for operations: ([\w.:, -]{1,200})|No translator found for (\w+) node",
        "the model has operations that OpenVINO does not know: {0}{1}",
        "run it on its own framework (`runtime`), or export it with standard operators",
    ),
    row(r"Model can't be parsed", "this is no ONNX file, or not all of one", EXPORT_AGAIN),
    row(
        r"FlatBuffer verification failed|is corrupted or malformed",
        "this is no TFLite file, or not all of one",
        EXPORT_AGAIN,
    ),
    row(
        r"Unexpected type: (\w+)",
        "the model has a tensor of the type {0}, which OpenVINO does not read",
        "run it on its own framework (`runtime`)",
    ),
    row(
        r"resolves to '[^']*' which is outside the base directory",
        "the model keeps its weights in a file outside its own directory, and no such file is read",
        "put the weights beside the model, or export it as one file",
    ),
    row(
        r"invalid external data: ExternalDataInfo\(data_full_path: ([^,]{1,300})",
        "the model's weights are in a second file, {0}, which is missing or too short",
        "put it beside the model under the name it was exported with",
    ),
    row(
        r"Could not open the file: \"?([^\"]{1,300}saved_model\.pb)",
        "the directory has no saved_model.pb",
        "give the path of the SavedModel's directory",
    ),
)
