from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from support.backend import FixedModels, OnnxBackend
from wasmind.config import Limits
from wasmind.errors import InvalidArgument, MethodNotAllowed, ModelBusy, ModelNotFound, RouteNotFound
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.oip import rest
from wasmind.oip.inference import Inference

if TYPE_CHECKING:
    from wasmind.oip.rest import Answer

X = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
RAW = struct.pack("<4f", 1, 2, 3, 4)


async def infer(inference: Inference, request: Any, raw: bytes = b"", path: str = "linear/infer") -> Answer:
    head = json.dumps(request).encode()
    headers = {b"inference-header-content-length": str(len(head)).encode()} if raw else {}
    asked = rest.target(f"/v2/models/{path}")
    assert asked is not None
    return await rest.answer("POST", asked, headers, head + raw, inference)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v2/models/m", ("m", "", "")),
        ("/v2/models/m/infer", ("m", "", "infer")),
        ("/v2/models/m/versions/3", ("m", "3", "")),
        ("/v2/models/m/versions/3/ready", ("m", "3", "ready")),
        ("/v2/models", None),
        ("/v2", None),
        ("/v2/models/a/b/c/infer", None),
        ("/v2/models/m/versions/3/x/y", None),
        ("/x/models/m", None),
    ],
)
def test_paths(path: str, found: tuple[str, str, str] | None) -> None:
    assert rest.target(path) == found


async def test_json_in_json_out(inference: Inference) -> None:
    answer = await infer(inference, {"id": "7", "inputs": [X]})
    assert (answer.status, dict(answer.headers)) == (200, {b"content-type": b"application/json"})
    assert json.loads(answer.body) == {
        "id": "7",
        "model_name": "linear",
        "model_version": "1",
        "outputs": [{"name": "y", "shape": [1, 4], "datatype": "FP32", "data": [3, 5, 7, 9]}],
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    ],
)
async def test_raw_in_raw_out(inference: Inference, asked: dict[str, Any]) -> None:
    given = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    answer = await infer(inference, {"inputs": [given], **asked}, RAW)
    length = int(dict(answer.headers)[b"inference-header-content-length"])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 16}
    assert struct.unpack("<4f", answer.body[length:]) == (3, 5, 7, 9)


async def test_one_output_may_differ_from_the_rest_of_the_request(inference: Inference) -> None:
    output = {"name": "y", "parameters": {"binary_data": False}}
    answer = await infer(
        inference, {"inputs": [X], "outputs": [output], "parameters": {"binary_data_output": True}}
    )
    assert json.loads(answer.body)["outputs"][0]["data"] == [3, 5, 7, 9]


async def test_classification_as_texts(inference: Inference) -> None:
    output = {"name": "y", "parameters": {"classification": 2}}
    answer = await infer(inference, {"inputs": [X], "outputs": [output]})
    (told,) = json.loads(answer.body)["outputs"]
    assert told == {
        "name": "y",
        "shape": [1, 2],
        "datatype": "BYTES",
        "data": ["9.000000:3", "7.000000:2:two"],
    }


async def test_classification_as_raw_bytes(inference: Inference) -> None:
    output = {"name": "y", "parameters": {"classification": 1, "binary_data": True}}
    answer = await infer(inference, {"inputs": [X], "outputs": [output]})
    length = int(dict(answer.headers)[b"inference-header-content-length"])
    assert json.loads(answer.body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 14}
    assert answer.body[length:] == b"\x0a\0\0\0" + b"9.000000:3"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"inputs": [{**X, "data": [1, 2, 3]}]}, "3 values for the shape"),
        ({"inputs": [{**X, "data": [1, 2, 3, "4"]}]}, "not FP32: int, str"),
        ({"inputs": [{**X, "shape": [1, 3], "data": [1, 2, 3]}]}, "expected f32"),
        ({"inputs": [{**X, "datatype": "FP64"}]}, "expected f32"),
        ({"inputs": [{**X, "datatype": "BYTES", "data": ["a"]}]}, "datatype 'BYTES'"),
        ({"inputs": [{**X, "name": "z"}]}, "no input"),
        ({"inputs": [X, X]}, "given twice"),
        ({"inputs": []}, "without input"),
        ({"inputs": [X], "outputs": [{"name": "z"}]}, "no output 'z'"),
        ({"inputs": [{**X, "shape": [-1, 4]}]}, "impossible shape"),
        ({"inputs": [{**X, "shape": [1 << 62, 1 << 62]}]}, "4 values for the shape"),
        ({"inputs": "x"}, "no inference request"),
        ([], "no inference request"),
    ],
)
async def test_what_is_no_request(inference: Inference, request_: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await infer(inference, request_)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"inputs":' * 50_000, b'{"inputs": [1e999999]}']
)
async def test_json_made_to_hurt(inference: Inference, body: bytes) -> None:
    asked = rest.target("/v2/models/linear/infer")
    assert asked is not None
    with pytest.raises(InvalidArgument):
        await rest.answer("POST", asked, {}, body, inference)


async def test_numbers_made_to_hurt(inference: Inference) -> None:
    with pytest.raises(InvalidArgument):
        await infer(inference, {"inputs": [{**X, "data": [10**400, 1, 1, 1]}]})


@pytest.mark.parametrize("length", [b"999", b"-1", b"1e3", b"", b"9" * 40])
async def test_a_header_length_that_lies(inference: Inference, length: bytes) -> None:
    asked = rest.target("/v2/models/linear/infer")
    assert asked is not None
    headers = {b"inference-header-content-length": length}
    with pytest.raises(InvalidArgument):
        await rest.answer("POST", asked, headers, json.dumps({"inputs": [X]}).encode(), inference)


async def test_large_json_is_to_go_as_raw_bytes(
    inference: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MAX_JSON", 20)
    with pytest.raises(InvalidArgument, match="a JSON body of") as refused:
        await infer(inference, {"inputs": [X]})
    assert "binary extension" in (refused.value.remedy or "")


async def test_metadata(inference: Inference) -> None:
    answer = await rest.answer("GET", rest.Target("linear", "", ""), {}, b"", inference)
    assert json.loads(answer.body) == {
        "name": "linear",
        "versions": ["1"],
        "platform": "wasmind",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4]}],
    }


def test_dimensions_that_vary_are_told_as_minus_one() -> None:
    assert rest.shape(TensorSpec("x", TensorType.F32, ("N", 3, None))) == [-1, 3, -1]
    assert rest.shape(TensorSpec("x", TensorType.F32, None)) == [-1]
    assert rest.shape(TensorSpec("x", TensorType.F32, ())) == []


async def test_ready(inference: Inference) -> None:
    answer = await rest.answer("GET", rest.Target("linear", "1", "ready"), {}, b"", inference)
    assert (answer.status, json.loads(answer.body)) == (200, {"name": "linear", "ready": True})


async def test_a_model_that_is_not_there(inference: Inference) -> None:
    with pytest.raises(ModelNotFound):
        await rest.answer("GET", rest.Target("nope", "", "ready"), {}, b"", inference)


@pytest.mark.parametrize(("method", "action"), [("GET", "infer"), ("POST", "ready"), ("DELETE", "")])
async def test_methods(inference: Inference, method: str, action: str) -> None:
    with pytest.raises(MethodNotAllowed):
        await rest.answer(method, rest.Target("linear", "", action), {}, b"", inference)


async def test_other_actions(inference: Inference) -> None:
    with pytest.raises(RouteNotFound):
        await rest.answer("GET", rest.Target("linear", "", "trace"), {}, b"", inference)


def test_a_refusal() -> None:
    answer = rest.refusal(ModelBusy("full"), dev=False)
    assert (answer.status, json.loads(answer.body)) == (429, {"error": "full"})
    assert dict(answer.headers)[b"retry-after"] == b"1"


async def test_half_precision_has_no_json(half: Inference) -> None:
    given = {"name": "x", "shape": [4], "datatype": "FP16", "parameters": {"binary_data_size": 8}}
    with pytest.raises(InvalidArgument, match="FP16, which has no JSON form"):
        await infer(half, {"inputs": [given]}, bytes(8))
    half.close()
    answer = await infer(half, {"inputs": [given], "parameters": {"binary_data_output": True}}, bytes(8))
    assert answer.body.endswith(bytes(8))


@pytest.fixture
def half() -> Inference:
    """A model of half-precision numbers that answers what it is given."""
    from onnx import TensorProto, helper

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [sides[0]], [sides[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    models = FixedModels(linear=Graph("linear", OnnxBackend(model.SerializeToString())))
    return Inference(Session(models, Limits(), "acme"))
