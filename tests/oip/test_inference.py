from __future__ import annotations

import struct

import pytest

from support.backend import OnnxBackend
from wasmind.errors import InferenceTimeout, InvalidArgument, InvalidTensor, ModelNotFound
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.oip.inference import Inference, chosen, reference

X = Tensor(TensorType.F32, (1, 4), struct.pack("<4f", 1, 2, 3, 4))


async def test_outputs_come_by_name(inference: Inference) -> None:
    ((name, tensor),) = await inference.run("linear", "", [("x", X)])
    assert (name, tensor.dims) == ("y", (1, 4))
    assert struct.unpack("<4f", tensor.data) == (3, 5, 7, 9)


async def test_it_runs_for_the_sessions_tenant(inference: Inference, backend: OnnxBackend) -> None:
    await inference.run("linear", "1", [("x", X)])
    assert backend.tenants == ["acme"]


async def test_it_notes_when_the_inputs_and_the_outputs_were_there(inference: Inference) -> None:
    await inference.run("linear", "", [("x", X)])
    assert 0 < inference.began_ns < inference.ended_ns


@pytest.mark.parametrize(("model", "version"), [("other", ""), ("linear", "2"), ("", ""), ("linear@1", "3")])
async def test_an_unknown_model_or_version(inference: Inference, model: str, version: str) -> None:
    with pytest.raises(ModelNotFound):
        await inference.run(model, version, [("x", X)])


async def test_inputs_are_held_against_the_signature(inference: Inference) -> None:
    with pytest.raises(InvalidTensor, match="expected f32"):
        await inference.run("linear", "", [("x", Tensor(TensorType.F32, (1, 3), bytes(12)))])
    inference.close()
    with pytest.raises(InvalidArgument, match="no input"):
        await inference.run("linear", "", [("z", X)])


async def test_a_time_out_of_the_request_ends_the_inference(
    inference: Inference, backend: OnnxBackend
) -> None:
    backend.delay = 30
    with pytest.raises(InferenceTimeout, match="5000 us"):
        await inference.run("linear", "", [("x", X)], timeout_us=5000)
    assert backend.cancelled == 1


async def test_a_time_out_that_is_long_enough_changes_nothing(inference: Inference) -> None:
    ((_, tensor),) = await inference.run("linear", "", [("x", X)], timeout_us=60_000_000)
    assert struct.unpack("<4f", tensor.data) == (3, 5, 7, 9)


async def test_closing_twice_is_harmless(inference: Inference) -> None:
    await inference.run("linear", "", [("x", X)])
    inference.close()
    inference.close()


def test_references() -> None:
    assert [reference("m", version) for version in ("", "1", "2")] == ["m", "m@1", "m@2"]


def test_outputs_are_chosen_in_the_order_that_was_asked_for() -> None:
    outputs = (("a", X), ("b", X))
    assert [name for name, _ in chosen(outputs, ())] == ["a", "b"]
    assert [name for name, _ in chosen(outputs, ["b", "a"])] == ["b", "a"]
    with pytest.raises(InvalidArgument, match="no output 'c'") as refused:
        chosen(outputs, ["c"])
    assert refused.value.cause == "its outputs are a, b"
