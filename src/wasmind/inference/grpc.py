"""gRPC: the protocol's service and Triton's additions, as calls of the gRPC server.

Messages are read and written by the protocol's own code in `wasmind.oip`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from open_inference.grpc import protocol

import wasmind
from wasmind.errors import NnCode, WasmindError
from wasmind.httpd.grpc_call import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, Call, Refused
from wasmind.oip import grpc as oip
from wasmind.oip.extension import MESSAGES
from wasmind.oip.refusal import words
from wasmind.oip.rest import Target

if TYPE_CHECKING:
    from wasmind.inference.callers import Caller
    from wasmind.inference.service import Service

SERVICE = "/inference.GRPCInferenceService/"

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 413: 3, 501: UNIMPLEMENTED, 503: 14, 504: 4}
"""gRPC's status for each of HTTP's; all others are INTERNAL."""
_NOWHERE = Target("", "", "")
Method = Callable[["GrpcApp", bytes, "Caller"], Awaitable[bytes]]


def code_of(error: WasmindError) -> int:
    """The status code by which gRPC tells an error."""
    return RESOURCE_EXHAUSTED if error.nn_code is NnCode.BUSY else _CODES.get(error.status, INTERNAL)


class GrpcApp:
    """What the gRPC server gives its calls to. A call's `state` is its caller, while it is under way."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def begin(self, call: Call) -> None:
        """Let a call in before any of its message is read. Raises Refused."""
        method = call.path.removeprefix(SERVICE)
        if method == call.path or (method not in _METHODS and method not in _OPEN and method != "ModelInfer"):
            raise Refused(UNIMPLEMENTED, f"there is no method {call.path[:200]}")
        if method in _OPEN:
            return
        began = perf_counter_ns()
        try:
            call.state = self._service.enter(call.header(b"authorization"))
        except WasmindError as error:
            self._service.failed(None, _NOWHERE, "grpc", error, began)
            raise self._refusal(error) from error

    def end(self, call: Call) -> None:
        """A call has ended."""
        caller, call.state = call.state, None
        if caller is not None:
            self._service.leave(caller)

    async def answer(self, call: Call) -> bytes:
        """The answer to a call's message. Raises Refused."""
        method, service = call.path.removeprefix(SERVICE), self._service
        if method in _OPEN:
            return _OPEN[method](service)
        raw = call.message(int(service.limits.request_body))
        if method == "ModelInfer":
            return await self._infer(raw, call.state)
        try:
            return await _METHODS[method](self, raw, call.state)
        except WasmindError as error:
            raise self._refusal(error) from error

    async def _infer(self, raw: bytes, caller: Caller) -> bytes:
        service, asked = self._service, _NOWHERE
        began = perf_counter_ns()
        failed: WasmindError
        try:
            request = oip.read(protocol.ModelInferRequest, raw)
            asked = Target(request.model_name, request.model_version, "infer")
            inference = service.inference(caller)
            try:
                answer = await oip.infer(request, inference)
                service.answered(caller, asked, "grpc", inference, began)
            finally:
                inference.close()
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
        failed.let_go()
        raise self._refusal(failed)

    def _refusal(self, error: WasmindError) -> Refused:
        return Refused(code_of(error), words(error, dev=self._service.dev))

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
    "ModelReady": GrpcApp._model_ready,
    "ModelMetadata": GrpcApp._model_metadata,
    "RepositoryIndex": GrpcApp._index,
    "RepositoryModelLoad": GrpcApp._load,
    "RepositoryModelUnload": GrpcApp._unload,
    "ModelStatistics": GrpcApp._statistics,
}
_OPEN: dict[str, Callable[[Service], bytes]] = {
    "ServerLive": lambda _service: _bytes(protocol.ServerLiveResponse(live=True)),
    "ServerReady": lambda service: _bytes(protocol.ServerReadyResponse(ready=service.ready)),
    "ServerMetadata": lambda _service: oip.server_metadata(wasmind.__version__),
}
"""What everybody may know."""


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())
