"""The gRPC transport: one model on one server, over one HTTP/2 connection, with raw contents.

Stubs are the published ones of the protocol (package open-inference-grpc).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc
from open_inference.grpc import protocol, service

from wasmind.backends.oip.contents import tensors
from wasmind.backends.oip.credentials import Token, pem
from wasmind.backends.oip.datatypes import DATATYPES
from wasmind.backends.oip.metadata import ModelMetadata, TensorMetadata, signature_of
from wasmind.backends.oip.rest import MAX_ANSWER, Named
from wasmind.backends.oip.transport import NotSent, request_id
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
from wasmind.nn.signature import Signature

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.max_send_message_length", -1),  # what a guest may send is limited by its own memory
    ("grpc.enable_retries", 0),  # retries are the backend's, which knows what is safe
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long a server may take to accept a connection
    ("grpc.max_reconnect_backoff_ms", 2000),  # two minutes else, while the breaker tries sooner
    ("grpc.use_local_subchannel_pool", 1),  # else another channel to the server would be the same connection
)
LATE = 2
"""So many calls in a row without an answer, and the next goes over a new connection: the old one may be dead.

Pings would tell, but servers close connections on which they come more often than every five minutes.
"""

_REFUSALS: dict[grpc.StatusCode, type[NnError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidTensor,
    grpc.StatusCode.NOT_FOUND: ModelNotFound,
    grpc.StatusCode.DEADLINE_EXCEEDED: InferenceTimeout,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ModelBusy,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedOperation,
    grpc.StatusCode.UNAVAILABLE: ModelUnavailable,
}
_UNSENT = ("failed to connect", "connection refused", "name resolution", "dns resolution", "no address")


class _Link:
    """One connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub: Any = service.GRPCInferenceServiceStub
        self.channel = channel
        self.stub = stub(channel)
        self.running = self.late = 0


class GrpcTransport:
    """A transport by gRPC. It sends raw contents, and reads raw and typed ones."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], url: str, settings: KServe) -> None:
        """`open_channel` gives a connection of this transport's own."""
        self._open, self._url = open_channel, url
        self._model, self._version = settings.model, settings.version
        self._token = Token(settings.token_file) if settings.token_file else None
        self._link = _Link(open_channel())
        self._closing: set[asyncio.Task[None]] = set()

    async def signature(self, timeout: float) -> Signature:
        """The model's signature."""
        request = protocol.ModelMetadataRequest(name=self._model, version=self._version)
        answer = await self._call("ModelMetadata", request, timeout)
        inputs, outputs = (
            [TensorMetadata(one.name, one.datatype, tuple(one.shape)) for one in side]
            for side in (answer.inputs, answer.outputs)
        )
        return signature_of(ModelMetadata(answer.name, inputs, outputs))

    async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], timeout: float) -> list[Named]:
        """Run one inference."""
        request = protocol.ModelInferRequest(
            model_name=self._model, model_version=self._version, id=request_id()
        )
        for name, tensor in inputs:
            request.inputs.add(name=name, datatype=DATATYPES[tensor.type], shape=tensor.dims)
            request.raw_input_contents.append(bytes(tensor.data))
        for name in outputs:
            request.outputs.add(name=name)
        answer = await self._call("ModelInfer", request, timeout)
        return _outputs(answer)

    async def close(self) -> None:
        """Close the connection."""
        await self._link.channel.close()
        await asyncio.gather(*self._closing)

    async def _call(self, method: str, request: Any, timeout: float) -> Any:
        link = self._link
        link.running += 1
        try:
            answer = await getattr(link.stub, method)(request, timeout=timeout, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            code, said = error.code(), error.details()  # the error itself keeps its connection open
        else:
            link.late = 0
            return answer
        finally:
            link.running -= 1
            self._let_go(link)
        self._note(link, late=code is grpc.StatusCode.DEADLINE_EXCEEDED)
        raise self._refusal(code, (said or "no text")[:500])

    def _note(self, link: _Link, *, late: bool) -> None:
        """Leave a connection that may be dead."""
        link.late = link.late + 1 if late else 0
        if link.late >= LATE and link is self._link:
            self._link = _Link(self._open())

    def _let_go(self, link: _Link) -> None:
        """Close a connection that was left, once its last call has ended."""
        if link is not self._link and not link.running:
            task = asyncio.get_running_loop().create_task(link.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self._token is None else (("authorization", self._token.header()),)

    def _refusal(self, code: grpc.StatusCode, said: str) -> NnError:
        unsent = any(words in said.lower() for words in _UNSENT)
        if code is grpc.StatusCode.UNAVAILABLE and unsent:
            return NotSent(f"cannot reach {self._url}", cause=said)
        kind = _REFUSALS.get(code, RuntimeFailed)
        return kind(f"{self._url} answered {code.name}", cause=said)


def _outputs(answer: Any) -> list[Named]:
    try:
        return tensors(answer.outputs, answer.raw_output_contents)
    except InvalidArgument as error:
        raise RuntimeFailed("the server's answer is malformed", cause=error.explain()) from error


def connect(url: str, settings: KServe) -> GrpcTransport:
    """A transport to a server; it connects with its first request. Raises ConfigError."""
    where = urlsplit(url)
    if where.scheme == "http":
        return GrpcTransport(lambda: grpc.aio.insecure_channel(where.netloc, CHANNEL_OPTIONS), url, settings)
    credentials = grpc.ssl_channel_credentials(pem(settings.ca), pem(settings.key), pem(settings.cert))
    return GrpcTransport(
        lambda: grpc.aio.secure_channel(where.netloc, credentials, CHANNEL_OPTIONS), url, settings
    )
