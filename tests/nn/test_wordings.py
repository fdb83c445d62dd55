"""Errors of OpenVINO, LiteRT, PyTorch and TensorFlow: each provoked for real, each explained.

What they mean is searched in their words as a guest gets them. ONNX Runtime's are in `test_explain`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from support import onnx_models as m
from support import openvino_models as xml
from support import saved_models
from support import tflite_models as t
from support import torchscript_models as programs
from support.frameworks import needs
from support.workers import spec_of
from wasmind.errors import WasmindError
from wasmind.nn.explain import explain, is_of_memory, tidy
from wasmind.nn.wordings import FRAMEWORKS, openvino

FILES = {"onnx": "m.onnx", "openvino": "m.xml", "tensorflowlite": "m.tflite", "pytorch": "m.pt"}


def f32(*dims: int) -> np.ndarray[Any, Any]:
    return np.ones(dims, np.float32)


def words_of(
    runtime: Any, encoding: str, data: bytes | str, inputs: Any, directory: Path, weights: bytes | None = None
) -> str:
    """What the framework says of a model, when it loads or runs."""
    path = directory / FILES[encoding]
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.with_suffix(".bin").unlink(missing_ok=True)
    if weights is not None:
        path.with_suffix(".bin").write_bytes(weights)
    try:
        model = runtime.load(spec_of(path, runtime="openvino", encoding=encoding))
        model.execution().run(inputs or [], [None] * len(model.signature.outputs))
    except WasmindError:
        raise
    except Exception as error:  # noqa: BLE001 - frameworks raise many kinds
        return str(error)
    raise AssertionError("the framework found nothing wrong")


def binary(kind: str, **attributes: Any) -> bytes:
    return m.model(
        [m.node(kind, ["x", "y"], ["z"], **attributes)],
        [("x", m.FLOAT, ["a", "b"]), ("y", m.FLOAT, ["c", "d"])],
        [("z", m.FLOAT, None)],
    )


def custom() -> bytes:
    node = helper.make_node("Foo", ["x"], ["z"], domain="my.ops")
    made = onnx.load_from_string(m.model([node], [("x", m.FLOAT, [1])], [("z", m.FLOAT, [1])]))
    made.opset_import.append(helper.make_opsetid("my.ops", 1))
    return bytes(made.SerializeToString())


def external(location: str) -> bytes:
    weight = onnx.TensorProto(name="w", data_type=m.FLOAT, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    return m.model([m.node("Add", ["x", "w"], ["z"])], [("x", m.FLOAT, [1])], [("z", m.FLOAT, [1])], [weight])


RESHAPE = m.model(
    [m.node("Reshape", ["x", "s"], ["z"])],
    [("x", m.FLOAT, ["a", "b"])],
    [("z", m.FLOAT, None)],
    [m.constant("s", m.I64, [2], [4, 4])],
)
CONV = m.model(
    [m.node("Conv", ["x", "w"], ["z"])],
    [("x", m.FLOAT, list("abcd"))],
    [("z", m.FLOAT, None)],
    [m.constant("w", m.FLOAT, [1, 3, 3, 3], range(27))],
)


def sized(*dims: str) -> bytes:
    return m.model(
        [m.node("ConstantOfShape", ["s"], ["z"])],
        [("s", m.I64, [len(dims) or "k"])],
        [("z", m.FLOAT, list(dims) or None)],
    )


OPENVINO: dict[str, tuple[tuple[Any, ...], str]] = {
    "shape": (("onnx", m.linear(), [f32(2, 4)]), "input 0 has the shape (2.4), and the model takes [1,4]"),
    "type": (
        ("onnx", m.linear(), [np.ones((1, 4), np.int32)]),
        "an input holds i32 elements, and the model takes f32",
    ),
    "matmul": (
        ("onnx", binary("MatMul"), [f32(2, 3), f32(4, 5)]),
        "matrices of the sizes (2.3) and (4.5) cannot be multiplied",
    ),
    "broadcast": (
        ("onnx", binary("Add"), [f32(2, 3), f32(4, 5)]),
        "at Add the sizes of two tensors differ in dimension 0",
    ),
    "concat": (("onnx", binary("Concat", axis=0), [f32(2, 3), f32(4, 5)]), "tensors that the model joins"),
    "reshape": (("onnx", RESHAPE, [f32(2, 3)]), "the model reshapes (2.3) to (4.4)"),
    "channels": (("onnx", CONV, [f32(1, 4, 8, 8)]), "another number of channels"),
    "negative": (("onnx", sized("a", "b"), [np.array([-1, 4])]), "a size computed inside the model is -1"),
    "memory": (
        ("onnx", sized("a", "b"), [np.array([1 << 20, 1 << 19])]),
        "the model wanted 2199023255552 bytes for one tensor",
    ),
    "too many": (("onnx", sized("a", "b"), [np.array([1 << 22, 1 << 22])]), "no processor can hold"),
    "rank": (("onnx", sized(), [np.array([2])]), "OpenVINO runs no Broadcast whose number of dimensions"),
    "cut off": (("openvino", xml.linear()[:500], None, xml.WEIGHTS), "XML is damaged at byte 499"),
    "no weights": (("openvino", xml.linear(), None), "second file, which is missing"),
    "few weights": (("openvino", xml.linear(), None, b"1234"), "weights do not belong to this model"),
    "far weights": (
        ("openvino", xml.linear(offset=1 << 40), None, xml.WEIGHTS),
        "weights do not belong to this model",
    ),
    "operation": (
        ("openvino", xml.linear().replace("Multiply", "Evil"), None, xml.WEIGHTS),
        "Evil is no operation of OpenVINO's opset1",
    ),
    "operation set": (
        ("openvino", xml.linear().replace("opset1", "opset99"), None, xml.WEIGHTS),
        "operation set 'opset99'",
    ),
    "version": (
        ("openvino", xml.linear().replace('version="11"', 'version="99"'), None, xml.WEIGHTS),
        "no OpenVINO model of a version that is known",
    ),
    "custom": (("onnx", custom(), None), "operations that OpenVINO does not know: my.ops.Foo"),
    "custom in TFLite": (
        ("tensorflowlite", t.custom(), None),
        "operations that OpenVINO does not know: Evil",
    ),
    "no protobuf": (("onnx", b"hello world, not onnx", None), "this is no ONNX file"),
    "no FlatBuffer": (("tensorflowlite", b"\0\0\0\0TFL3" + b"\xff" * 99, None), "this is no TFLite file"),
    "resource": (("tensorflowlite", t.counter(), None), "a tensor of the type RESOURCE"),
    "weights outside": (("onnx", external("../w.bin"), None), "outside its own directory"),
    "weights missing": (("onnx", external("w.bin"), None), "w.bin, which is missing or too short"),
}
TWO = t.model(
    [t.Tensor("x", [-1, 3]), t.Tensor("y", [-1, 5]), t.Tensor("z", [-1, 3])],
    [(t.Op.ADD, ["x", "y"], ["z"], t.add_options())],
    ["x", "y"],
    ["z"],
)
TABLE = t.model(
    [
        t.Tensor("table", [4, 2], value=np.arange(8, dtype=np.float32)),
        t.Tensor("i", [-1], t.I32),
        t.Tensor("y", [-1, 2]),
    ],
    [(t.Op.GATHER, ["table", "i"], ["y"], None)],
    ["i"],
    ["y"],
)
NEWER = t.model([t.Tensor("x", [2]), t.Tensor("y", [2])], [(250, ["x"], ["y"], None)], ["x"], ["y"])
LITERT: dict[str, tuple[tuple[Any, ...], str]] = {
    "type": (
        ("tensorflowlite", t.linear(), [np.ones((1, 4), np.int32)]),
        'input "x" holds INT32 elements, and the model takes FLOAT32',
    ),
    "negative": (("tensorflowlite", t.tiled(), [np.array([-1, 2], np.int32)]), "is negative"),
    "memory": (
        ("tensorflowlite", t.tiled(), [np.array([1 << 22, 1 << 22], np.int32)]),
        "TILE, could not be run: its process has not the memory",
    ),
    "broadcast": (("tensorflowlite", TWO, [f32(2, 3), f32(4, 5)]), "the sizes of two tensors differ"),
    "index": (("tensorflowlite", TABLE, [np.array([9], np.int32)]), "an index beyond the model's table"),
    "custom": (("tensorflowlite", t.custom(), None), "Evil is a custom operator"),
    "flex": (("tensorflowlite", t.custom("FlexRFFT2D"), None), "the model has TensorFlow's RFFT2D"),
    "newer": (("tensorflowlite", NEWER, None), "an operator (250) that is newer"),
}
TORCH: dict[str, tuple[tuple[Any, ...], str]] = {
    "matmul": ((programs.model("matrix"), [f32(2, 3)]), "the sizes 2x3 and 4x2 cannot be multiplied"),
    "channels": (
        (programs.model("image"), [f32(1, 4, 8, 8)]),
        "the image [1, 4, 8, 8] has 4 channels, and the model takes 3",
    ),
    "rank": ((programs.model("image"), [f32(4)]), "conv2d takes tensors of another rank than [4]"),
    "broadcast": (
        (programs.archive(programs.program("return torch.add(x, torch.ones([3]))")), [f32(2)]),
        "the sizes 2 and 3 meet in dimension 0",
    ),
    "concat": (
        (programs.archive(programs.program("return torch.cat([x, torch.ones([2, 3])])")), [f32(2, 2)]),
        "along dimension 0 differ in another: 2 and 3",
    ),
    "reshape": (
        (programs.archive(programs.program("return torch.view(x, [4, 3])")), [f32(2, 2)]),
        "the model reshapes 4 elements to [4, 3]",
    ),
    "index": ((programs.model("table"), [np.array([9])]), "an index beyond the model's table"),
    "type": ((programs.model("table"), [f32(2)]), "a FloatTensor came where the model takes Long, Int"),
    "product": (
        (programs.archive(programs.program("return torch.matmul(x, torch.ones([2, 2]))")), [np.ones((2, 2))]),
        "double and float elements meet",
    ),
    "output": ((programs.model("two"), [f32(2)]), 'output "output_1" is int64, and f32 was declared'),
    "memory": ((programs.model("big"), [f32(1)]), "the model wanted 274877906944 bytes"),
    "refused": ((programs.model("refuses"), [f32(1)]), "the model's own program refused the input"),
    "cut off": ((programs.model("linear")[:300], None), "this is no TorchScript file"),
    "version": ((programs.model("linear").replace(b"3\n", b"99"), None), "the file's format (99) is newer"),
    "operation": (
        (programs.archive(programs.program("return ops.evil.run(x)")), None),
        "the operation evil::run., which PyTorch does not know",
    ),
    "pickle": (
        (
            programs.archive(
                programs.program("return x"), data=b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
            ),
            None,
        ),
        "the file names os.system",
    ),
    "program": (
        (programs.archive(programs.program("return x +")), None),
        "the program in the file is damaged",
    ),
}


@pytest.mark.parametrize(("arguments", "meaning"), OPENVINO.values(), ids=OPENVINO)
def test_openvino(tmp_path: Path, arguments: tuple[Any, ...], meaning: str) -> None:
    from wasmind.worker.runtimes.openvino import Runtime

    encoding, data, inputs, *weights = arguments
    check(words_of(Runtime(), encoding, data, inputs, tmp_path, *weights), meaning)


@pytest.mark.parametrize(("arguments", "meaning"), LITERT.values(), ids=LITERT)
def test_litert(tmp_path: Path, arguments: tuple[Any, ...], meaning: str) -> None:
    from wasmind.worker.runtimes.tflite import Runtime

    check(words_of(Runtime(), *arguments, tmp_path), meaning)


@pytest.mark.slow
@needs("pytorch")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("arguments", "meaning"), TORCH.values(), ids=TORCH)
def test_pytorch(tmp_path: Path, arguments: tuple[Any, ...], meaning: str) -> None:
    from wasmind.worker.runtimes.pytorch import Runtime

    if meaning.startswith("the model wanted"):
        check(in_a_small_process(arguments[0], tmp_path), meaning)
    else:
        check(words_of(Runtime(), "pytorch", *arguments, tmp_path), meaning)


SMALL = """
import resource, sys
import numpy as np
from support.workers import spec_of
from pathlib import Path
from wasmind.worker.runtimes.pytorch import Runtime
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
model = Runtime().load(spec_of(Path(sys.argv[1]), runtime="pytorch", encoding="pytorch"))
try:
    model.execution().run([np.ones(1, np.float32)], [None])
except RuntimeError as error:
    print(error)
"""


def in_a_small_process(data: bytes, directory: Path) -> str:
    """What PyTorch says where memory is limited, as it is in a worker."""
    path = directory / "m.pt"
    path.write_bytes(data)
    command = [sys.executable, "-W", "ignore", "-c", SMALL, path]
    tests = str(Path(__file__).parents[1])
    ended = subprocess.run(
        command, capture_output=True, check=True, timeout=60, env=os.environ | {"PYTHONPATH": tests}
    )
    return ended.stdout.decode()


TENSORFLOW = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
one = tf.ones
cases = {
    "matmul": lambda: tf.matmul(one([2, 3]), one([4, 5])),
    "broadcast": lambda: one([2, 3]) + one([4, 5]),
    "concat": lambda: tf.concat([one([2, 3]), one([4, 5])], 0),
    "reshape": lambda: tf.reshape(one([2, 3]), [4, 4]),
    "index": lambda: tf.gather(one([4, 2]), [9]),
    "no model": lambda: tf.saved_model.load(os.path.join(sys.argv[1], "none")),
    "junk": lambda: tf.saved_model.load(os.path.join(sys.argv[1], "junk")),
    "custom": lambda: tf.saved_model.load(os.path.join(sys.argv[1], "custom")),
    "no variables": lambda: tf.train.load_checkpoint(os.path.join(sys.argv[1], "none", "variables")),
}
found = {}
for name, case in cases.items():
    try:
        case()
    except Exception as error:
        found[name] = str(error)
print(json.dumps(found))
"""


@pytest.mark.slow
@needs("tensorflow")
def test_tensorflow(tmp_path: Path) -> None:
    for name, data in (
        ("junk", b"\x08\x01\x12\xff\xff"),
        ("custom", saved_models.linear(saved_models.node("evil", "Evil"), after=("evil",))),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(data)
    command = [sys.executable, "-c", TENSORFLOW, tmp_path]
    ended = subprocess.run(command, capture_output=True, check=True, timeout=240)
    found = json.loads(ended.stdout)
    check(found["matmul"], "matrices of the sizes [2,3] and [4,5] cannot be multiplied")
    check(found["broadcast"], "the sizes of two tensors differ, and neither is 1")
    check(found["concat"], "tensors that the model joins differ in dimension 1")
    check(found["reshape"], "the model reshapes 6 elements to 16")
    check(found["no model"], "the directory has no saved_model.pb")
    check(found["junk"], "saved_model.pb is no SavedModel")
    check(found["custom"], "Evil is a custom operation")
    check(found["no variables"], "the SavedModel's variables are missing")
    check(found["index"], "the index 9, and the model has a table from 0 up to, not including, 4")


def check(words: str, meaning: str) -> None:
    found = explain(words)
    assert found is not None, words
    assert meaning in found.meaning, words
    assert found.remedy
    assert "{" not in found.meaning
    text = tidy(words)
    assert "Exception from src/" not in text
    assert "failed at src/" not in text
    assert is_of_memory(words) == ("the model wanted" in meaning), words


def test_every_row_of_openvino_is_met_by_a_case(tmp_path: Path) -> None:
    from wasmind.worker.runtimes.openvino import Runtime

    said = [
        tidy(words_of(Runtime(), encoding, data, inputs, tmp_path, *weights))
        for (encoding, data, inputs, *weights), _ in OPENVINO.values()
    ]
    said.append('Could not open the file: "/m/saved_model.pb"')  # the catalog finds it missing before
    unmet = [row.pattern.pattern for row in openvino.ROWS if not any(map(row.pattern.search, said))]
    assert unmet == []


def test_every_framework_has_its_rows() -> None:
    assert {name for name, rows in FRAMEWORKS.items() if len(rows) > 5} == set(FRAMEWORKS) - {"Any framework"}
    assert "out of memory" in str(explain("std::bad_alloc"))
