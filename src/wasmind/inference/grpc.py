"""gRPC: the protocol's service and Triton's additions, on grpcio's asyncio server.

Methods get and give bytes: messages are read and written by the protocol's own code in `wasmind.oip`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from open_inference.grpc import protocol

import wasmind
from wasmind.errors import NnCode, NodeError, WasmindError
from wasmind.oip import grpc as oip
from wasmind.oip.extension import MESSAGES
from wasmind.oip.refusal import words
from wasmind.oip.rest import Target

if TYPE_CHECKING:
    from wasmind.inference.callers import Caller
    from wasmind.inference.service import Service

SERVICE = "/inference.GRPCInferenceService/"

_CODES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_NOWHERE = Target("", "", "")
Method = Callable[["GrpcServer", bytes, "Caller"], Awaitable[bytes]]


def code_of(error: WasmindError) -> grpc.StatusCode:
    """The status code by which gRPC tells an error."""
    if error.nn_code is NnCode.BUSY:
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    return _CODES.get(error.status, grpc.StatusCode.INTERNAL)


class GrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio brings no types
    """The gRPC port."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._handlers = {
            SERVICE + name: grpc.unary_unary_rpc_method_handler(self._handler(method))
            for name, method in _METHODS.items()
        } | {
            SERVICE + name: grpc.unary_unary_rpc_method_handler(self._told(answer))
            for name, answer in _OPEN.items()
        }
        self._handlers[SERVICE + "ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        most = int(service.limits.request_body)
        self._server = grpc.aio.server(
            handlers=[self],
            maximum_concurrent_rpcs=2 * service.concurrency,
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", most),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", 16 << 10),
                ("grpc.max_concurrent_streams", service.concurrency),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.server_handshake_timeout_ms", 10_000),
            ],
        )

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises NodeError."""
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._server.add_insecure_port(where)
        except RuntimeError as error:
            raise NodeError(f"cannot listen on {where} for gRPC", cause=str(error)) from error
        if not bound:
            raise NodeError(f"cannot listen on {where} for gRPC")
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Accept no more, and let what runs finish within `seconds`."""
        await self._server.stop(seconds)

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method; grpcio answers UNIMPLEMENTED for None."""
        return self._handlers.get(handler_call_details.method)

    # --- calls --------------------------------------------------------------------------------------------

    async def _infer(self, raw: bytes, context: Any) -> bytes:
        service, asked, caller = self._service, _NOWHERE, None
        began = perf_counter_ns()
        try:
            caller = service.enter(_authorization(context))
            try:
                request = oip.read(protocol.ModelInferRequest, raw)
                asked = Target(request.model_name, request.model_version, "infer")
                inference = service.inference(caller)
                try:
                    answer = await oip.infer(request, inference)
                    service.answered(caller, asked, "grpc", inference, began)
                finally:
                    inference.close()
            finally:
                service.leave(caller)
        except WasmindError as error:
            failed = error
        except asyncio.CancelledError as cancelled:
            service.failed(caller, asked, "grpc", cancelled, began)
            raise
        except Exception as error:  # noqa: BLE001 - a mistake of ours may cost this call, never the process
            failed = WasmindError(f"{type(error).__name__}: {error}", cause=traceback.format_exc())
        else:
            return answer
        service.failed(caller, asked, "grpc", failed, began)
        return await self._refuse(context, failed)

    def _handler(self, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(raw: bytes, context: Any) -> bytes:
            try:
                caller = self._service.enter(_authorization(context))
                try:
                    return await method(self, raw, caller)
                finally:
                    self._service.leave(caller)
            except WasmindError as error:
                await self._refuse(context, error)

        return call

    def _told(self, answer: Callable[[Service], bytes]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(_raw: bytes, _context: Any) -> bytes:
            return answer(self._service)

        return call

    async def _refuse(self, context: Any, error: WasmindError) -> NoReturn:
        await context.abort(code_of(error), words(error, dev=self._service.dev))
        raise AssertionError  # `abort` raises

    # --- methods of a caller ------------------------------------------------------------------------------

    async def _model_ready(self, raw: bytes, caller: Caller) -> bytes:
        request = oip.read(protocol.ModelReadyRequest, raw)
        ready = self._service.is_ready(caller, Target(request.name, request.version, "ready"))
        return _bytes(protocol.ModelReadyResponse(ready=ready))

    async def _model_metadata(self, raw: bytes, caller: Caller) -> bytes:
        request = oip.read(protocol.ModelMetadataRequest, raw)
        inference = self._service.inference(caller)
        try:
            graph = await inference.graph(request.name, request.version)
            return oip.model_metadata(request.name, graph.signature, caller.versions(request.name))
        finally:
            inference.close()

    async def _index(self, raw: bytes, caller: Caller) -> bytes:
        request = oip.read(MESSAGES["RepositoryIndexRequest"], raw)
        answer = MESSAGES["RepositoryIndexResponse"]()
        for model in self._service.index(caller, ready=request.ready):
            answer.models.add(**model)
        return _bytes(answer)

    async def _load(self, raw: bytes, caller: Caller) -> bytes:
        request = oip.read(MESSAGES["RepositoryModelLoadRequest"], raw)
        await self._service.manage(caller, request.model_name, load=True)
        return b""

    async def _unload(self, raw: bytes, caller: Caller) -> bytes:
        request = oip.read(MESSAGES["RepositoryModelUnloadRequest"], raw)
        await self._service.manage(caller, request.model_name, load=False)
        return b""

    async def _statistics(self, raw: bytes, caller: Caller) -> bytes:
        request = oip.read(MESSAGES["ModelStatisticsRequest"], raw)
        answer = MESSAGES["ModelStatisticsResponse"]()
        for model in self._service.statistics(caller, request.name, request.version):
            answer.model_stats.add(**model)
        return _bytes(answer)


_METHODS: dict[str, Method] = {
    "ModelReady": GrpcServer._model_ready,
    "ModelMetadata": GrpcServer._model_metadata,
    "RepositoryIndex": GrpcServer._index,
    "RepositoryModelLoad": GrpcServer._load,
    "RepositoryModelUnload": GrpcServer._unload,
    "ModelStatistics": GrpcServer._statistics,
}
_OPEN: dict[str, Callable[[Service], bytes]] = {
    "ServerLive": lambda _service: _bytes(protocol.ServerLiveResponse(live=True)),
    "ServerReady": lambda service: _bytes(protocol.ServerReadyResponse(ready=service.ready)),
    "ServerMetadata": lambda _service: oip.server_metadata(wasmind.__version__),
}
"""What everybody may know."""


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _authorization(context: Any) -> str | None:
    for key, value in context.invocation_metadata():
        if key == "authorization":
            return str(value)
    return None
