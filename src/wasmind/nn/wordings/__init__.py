"""What frameworks say when they fail, one file for each, with what it means and what to do about it."""

from __future__ import annotations

from wasmind.nn.wordings import common, onnx, openvino, pytorch, tensorflow, tflite
from wasmind.nn.wordings.row import Row

FRAMEWORKS: dict[str, tuple[Row, ...]] = {
    "ONNX Runtime": onnx.ROWS,
    "OpenVINO": openvino.ROWS,
    "LiteRT": tflite.ROWS,
    "PyTorch": pytorch.ROWS,
    "TensorFlow": tensorflow.ROWS,
    "Any framework": common.ROWS,
}
TABLE: tuple[Row, ...] = tuple(row for rows in FRAMEWORKS.values() for row in rows)
"""All rows; the first that fits explains."""
