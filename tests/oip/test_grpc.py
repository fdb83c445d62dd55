from __future__ import annotations

import struct
from typing import Any

import pytest

from wasmind.errors import InvalidArgument, ModelNotFound
from wasmind.oip.inference import Inference

protocol = pytest.importorskip("open_inference.grpc.protocol", reason="open-inference-grpc is not installed")

from wasmind.oip import grpc as oip  # noqa: E402 - it needs the package above

RAW = struct.pack("<4f", 1, 2, 3, 4)


def request(**fields: Any) -> Any:
    return protocol.ModelInferRequest(model_name="linear", **fields)


def raw_request(**fields: Any) -> Any:
    asked = request(raw_input_contents=[RAW], **fields)
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    return asked


def typed_request(**fields: Any) -> Any:
    asked = request(**fields)
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, 4])
    return asked


async def answer(inference: Inference, asked: Any) -> Any:
    return protocol.ModelInferResponse.FromString(await oip.infer(asked, inference))


async def test_raw_contents_are_answered_by_raw_ones(inference: Inference) -> None:
    told = await answer(inference, raw_request(id="7"))
    assert (told.model_name, told.model_version, told.id) == ("linear", "1", "7")
    (output,) = told.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "FP32", [1, 4])
    assert struct.unpack("<4f", told.raw_output_contents[0]) == (3, 5, 7, 9)


async def test_typed_contents_are_answered_by_typed_ones(inference: Inference) -> None:
    told = await answer(inference, typed_request())
    assert list(told.outputs[0].contents.fp32_contents) == [3, 5, 7, 9]
    assert not told.raw_output_contents


async def test_outputs_that_are_asked_for(inference: Inference) -> None:
    asked = raw_request()
    asked.outputs.add(name="y")
    assert [one.name for one in (await answer(inference, asked)).outputs] == ["y"]
    inference.close()
    asked.outputs.add(name="z")
    with pytest.raises(InvalidArgument, match="no output 'z'"):
        await answer(inference, asked)


@pytest.mark.parametrize("raw", [True, False])
async def test_classification(inference: Inference, raw: bool) -> None:
    asked = raw_request() if raw else typed_request()
    asked.outputs.add(name="y").parameters["classification"].int64_param = 1
    told = await answer(inference, asked)
    assert (told.outputs[0].datatype, list(told.outputs[0].shape)) == ("BYTES", [1, 1])
    if raw:
        assert told.raw_output_contents[0] == b"\x0a\0\0\0" + b"9.000000:3"
    else:
        assert list(told.outputs[0].contents.bytes_contents) == [b"9.000000:3"]


def broken(**changes: Any) -> Any:
    asked = raw_request()
    for name, value in changes.items():
        if name == "shape":
            del asked.inputs[0].shape[:]
            asked.inputs[0].shape.extend(value)
        elif name == "raw":
            del asked.raw_input_contents[:]
            asked.raw_input_contents.extend(value)
        else:
            setattr(asked.inputs[0], name, value)
    return asked


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [1, 3]},
        {"shape": [-1, 4]},
        {"shape": [1] * 40},
        {"datatype": "FP64"},
        {"datatype": "BYTES"},
        {"datatype": "nonsense"},
        {"name": "z"},
        {"raw": [RAW[:-1]]},
        {"raw": [RAW, RAW]},
        {"raw": []},
    ],
)
async def test_what_is_no_request(inference: Inference, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await answer(inference, broken(**changes))


async def test_a_model_that_is_not_there(inference: Inference) -> None:
    with pytest.raises(ModelNotFound):
        await answer(inference, protocol.ModelInferRequest(model_name="nope"))


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x07" * 50])
def test_bytes_that_are_no_message(raw: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no ModelInferRequest"):
        oip.read(protocol.ModelInferRequest, raw)


async def test_metadata(inference: Inference) -> None:
    graph = await inference.graph("linear", "")
    told = protocol.ModelMetadataResponse.FromString(oip.model_metadata("linear", graph.signature, ("1",)))
    assert (told.name, list(told.versions)) == ("linear", ["1"])
    assert [(one.name, one.datatype, list(one.shape)) for one in told.inputs] == [("x", "FP32", [1, 4])]


def test_the_server() -> None:
    told = protocol.ServerMetadataResponse.FromString(oip.server_metadata("9"))
    assert (told.name, told.version) == ("wasmind", "9")
    assert "binary_tensor_data" in told.extensions
