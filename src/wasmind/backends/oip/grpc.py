"""The gRPC transport: one model on one server, over HTTP/2, with raw contents.

Messages are the published ones of the protocol (package open-inference-grpc), calls are our own: a general
client takes longer for a call than a small inference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from open_inference.grpc import protocol

from wasmind import __version__
from wasmind.backends.oip import wire
from wasmind.backends.oip.channel import ALPN, Channel
from wasmind.backends.oip.contents import tensors
from wasmind.backends.oip.credentials import Token, tls
from wasmind.backends.oip.datatypes import DATATYPES
from wasmind.backends.oip.exchange import BrokenOff, StreamReset, TooMuch, Unreachable
from wasmind.backends.oip.metadata import ModelMetadata, TensorMetadata, signature_of
from wasmind.backends.oip.rest import MAX_ANSWER, Named
from wasmind.backends.oip.status import Failed, message_of, of_reset
from wasmind.backends.oip.transport import failed, request_id
from wasmind.config import KServe
from wasmind.errors import (
    InferenceTimeout,
    InvalidArgument,
    InvalidTensor,
    ModelBusy,
    ModelNotFound,
    ModelUnavailable,
    NnError,
    RuntimeFailed,
    UnsupportedOperation,
)
from wasmind.httpd.frames import literal, request
from wasmind.nn.signature import Signature
from wasmind.nn.tensor import Buffer

_SERVICE = "/inference.GRPCInferenceService/"
_REFUSALS: dict[str, type[NnError]] = {
    "INVALID_ARGUMENT": InvalidTensor,
    "NOT_FOUND": ModelNotFound,
    "DEADLINE_EXCEEDED": InferenceTimeout,
    "RESOURCE_EXHAUSTED": ModelBusy,
    "UNIMPLEMENTED": UnsupportedOperation,
    "UNAVAILABLE": ModelUnavailable,
}


class GrpcTransport:
    """A transport by gRPC. It sends raw contents, and reads raw and typed ones."""

    def __init__(self, channel: Channel, url: str, settings: KServe) -> None:
        """`channel` is this transport's own."""
        self._channel, self._url = channel, url
        self._model, self._version = settings.model, settings.version
        self._token = Token(settings.token_file) if settings.token_file else None
        self._describe = _call(url, "ModelMetadata")
        self._run = _call(url, "ModelInfer")

    async def signature(self, timeout: float) -> Signature:
        """The model's signature."""
        asked = protocol.ModelMetadataRequest(name=self._model, version=self._version)
        message = await self._exchange(self._describe, [asked.SerializeToString()], timeout)
        told = _read(protocol.ModelMetadataResponse, message)
        inputs, outputs = (
            [TensorMetadata(one.name, one.datatype, tuple(one.shape)) for one in side]
            for side in (told.inputs, told.outputs)
        )
        return signature_of(ModelMetadata(told.name, inputs, outputs))

    async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], timeout: float) -> list[Named]:
        """Run one inference."""
        return _outputs(await self._exchange(self._run, self._packed(inputs, outputs), timeout))

    async def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    def _packed(self, inputs: Sequence[Named], outputs: Sequence[str]) -> list[Buffer]:
        """An inference's message, in parts; nothing else of it is kept while it waits for its answer."""
        asked = protocol.ModelInferRequest(
            model_name=self._model, model_version=self._version, id=request_id()
        )
        for name, tensor in inputs:
            asked.inputs.add(name=name, datatype=DATATYPES[tensor.type], shape=tensor.dims)
        for name in outputs:
            asked.outputs.add(name=name)
        parts: list[Buffer] = [asked.SerializeToString()]
        for _, tensor in inputs:
            parts += wire.field_of(wire.RAW_INPUT, len(tensor.data)), tensor.data
        return parts

    async def _exchange(self, call: bytes, parts: Sequence[Buffer], timeout: float) -> memoryview:
        """Send a message, in parts, and wait for the one that answers it."""
        block = call + literal(b"grpc-timeout", _timeout(timeout))
        if self._token is not None:
            block += literal(b"authorization", self._token.header().encode("ascii"))
        body = b"\0" + sum(map(len, parts)).to_bytes(4, "big"), *parts
        try:
            async with asyncio.timeout(timeout):
                answer = await self._channel.exchange(block, body, MAX_ANSWER)
            return message_of(answer)
        except TimeoutError as error:
            raise InferenceTimeout(f"{self._url} did not answer within {timeout:.3g} s") from error
        except StreamReset as error:
            raise self._refusal(of_reset(error)) from error
        except (Unreachable, BrokenOff, TooMuch) as error:
            raise failed(self._url, error) from error
        except Failed as error:
            raise self._refusal(error) from error

    def _refusal(self, told: Failed) -> NnError:
        kind = _REFUSALS.get(told.name, RuntimeFailed)
        return kind(f"{self._url} answered {told.name}", cause=str(told))


def _call(url: str, method: str) -> bytes:
    """The headers of a call that are the same each time, packed."""
    where = urlsplit(url)
    head = request("POST", where.scheme, where.netloc, where.path.rstrip("/") + _SERVICE + method)
    rest = {
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": f"wasmind/{__version__}",
        "grpc-accept-encoding": "identity",
    }
    return head + b"".join(literal(name.encode(), value.encode()) for name, value in rest.items())


def _timeout(seconds: float) -> bytes:
    """A time as gRPC writes it, in at most eight digits."""
    if seconds < 99:
        return b"%du" % max(1, seconds * 1e6)
    return b"%dS" % min(seconds, 99_999_999)


def _read(kind: Any, message: Buffer) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise RuntimeFailed("the server's answer is malformed", cause=str(error)) from error


def _outputs(message: memoryview) -> list[Named]:
    try:
        rest, raw = wire.parted(message, wire.RAW_OUTPUT)
        return tensors(_read(protocol.ModelInferResponse, rest).outputs, raw)
    except InvalidArgument as error:
        raise RuntimeFailed("the server's answer is malformed", cause=error.explain()) from error


def connect(url: str, settings: KServe) -> GrpcTransport:
    """A transport to a server; it connects with its first request. Raises ConfigError."""
    where = urlsplit(url)
    secure = where.scheme == "https"
    channel = Channel(
        where.hostname or "",
        where.port or (443 if secure else 80),
        tls(settings, ALPN) if secure else None,
    )
    return GrpcTransport(channel, url, settings)
