"""The gRPC port as its clients see it: who may call, and what is refused how."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from wasmind.oip.extension import MESSAGES

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
from open_inference.grpc import protocol  # noqa: E402 - it needs the package above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.nodes import NodeProcess

CODE = grpc.StatusCode
X = struct.pack("<4f", 1, 2, 3, 4)


@pytest.fixture
def call(node: NodeProcess) -> Iterator[Any]:
    """Call a method by name; the answer's bytes, or the code and words of a refusal."""
    address = node.status().inference_grpc
    with grpc.insecure_channel(address) as channel:

        def calling(method: str, message: Any, token: str | None = "acme-token", **options: Any) -> Any:
            stub = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            metadata = () if token is None else (("authorization", f"Bearer {token}"),)
            try:
                return stub(message.SerializeToString(), metadata=metadata, timeout=20, **options)
            except grpc.RpcError as error:
                return error.code(), error.details()

        yield calling


def infer(model: str = "linear", version: str = "", shape: tuple[int, ...] = (1, 4)) -> Any:
    request = protocol.ModelInferRequest(model_name=model, model_version=version, raw_input_contents=[X])
    request.inputs.add(name="x", datatype="FP32", shape=shape)
    return request


def test_an_inference(call: Any) -> None:
    answer = protocol.ModelInferResponse.FromString(call("ModelInfer", infer()))
    assert struct.unpack("<4f", answer.raw_output_contents[0]) == (3, 5, 7, 9)


@pytest.mark.parametrize("method", ["ServerLive", "ServerReady", "ServerMetadata"])
def test_what_everybody_may_know(call: Any, method: str) -> None:
    assert isinstance(call(method, protocol.ServerLiveRequest(), token=None), bytes)


@pytest.mark.parametrize("token", [None, "", "nobody"])
@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "RepositoryIndex", "ModelStatistics"])
def test_without_a_tenants_token(call: Any, method: str, token: str | None) -> None:
    assert call(method, infer(), token=token)[0] is CODE.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (infer("nope"), CODE.NOT_FOUND),
        (infer("other"), CODE.NOT_FOUND),
        (infer(version="9"), CODE.NOT_FOUND),
        (infer(shape=(2, 2)), CODE.INVALID_ARGUMENT),
        (infer(shape=(1, 5)), CODE.INVALID_ARGUMENT),
        (protocol.ModelInferRequest(model_name="linear"), CODE.INVALID_ARGUMENT),
    ],
)
def test_refusals(call: Any, request_: Any, code: Any) -> None:
    assert call("ModelInfer", request_)[0] is code


def test_a_method_that_does_not_exist(call: Any) -> None:
    assert call("ModelStreamInfer", infer())[0] is CODE.UNIMPLEMENTED


def test_only_who_may_manages(call: Any) -> None:
    request = MESSAGES["RepositoryModelUnloadRequest"](model_name="linear")
    assert call("RepositoryModelUnload", request)[0] is CODE.PERMISSION_DENIED


def test_unloading_and_loading(call: Any) -> None:
    def manage(what: str) -> Any:
        return call(what, MESSAGES[f"{what}Request"](model_name="bosses"), token="boss-token")

    assert manage("RepositoryModelUnload") == b""
    ready = call("ModelReady", protocol.ModelReadyRequest(name="bosses"), token="boss-token")
    assert not protocol.ModelReadyResponse.FromString(ready).ready
    assert call("ModelInfer", infer("bosses"), token="boss-token")[0] is CODE.UNAVAILABLE
    assert manage("RepositoryModelLoad") == b""
    assert isinstance(call("ModelInfer", infer("bosses"), token="boss-token"), bytes)


def test_a_message_that_is_too_large(call: Any) -> None:
    request = protocol.ModelInferRequest(model_name="linear", raw_input_contents=[bytes(2 << 20)])
    assert call("ModelInfer", request)[0] is CODE.RESOURCE_EXHAUSTED
    assert isinstance(call("ModelInfer", infer()), bytes)


@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages(call: Any, coding: Any) -> None:
    assert isinstance(call("ModelInfer", infer(), compression=coding), bytes)
