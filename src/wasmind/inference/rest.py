"""REST: a request of the HTTP server, answered by the protocol."""

from __future__ import annotations

import asyncio
import traceback
import zlib
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING

import msgspec

import wasmind
from wasmind.errors import (
    BodyTooLarge,
    ClientGone,
    InvalidArgument,
    MethodNotAllowed,
    Overloaded,
    RequestError,
    RouteNotFound,
    WasmindError,
)
from wasmind.httpd.head import Head
from wasmind.inference.callers import check_local
from wasmind.oip import rest
from wasmind.oip.rest import Answer, Target

if TYPE_CHECKING:
    from wasmind.httpd.request import HttpRequest
    from wasmind.inference.callers import Caller
    from wasmind.inference.service import Service

COMPRESSED = 1024
"""Answers smaller than this, in bytes, are not worth compressing."""
_CODINGS = {b"gzip": 31, b"deflate": 15}
"""Content codings with zlib's word for each."""
_NOWHERE = Target("", "", "")


class _Index(msgspec.Struct):
    """What a request for the repository's index may say."""

    ready: bool = False


class RestApp:
    """What the HTTP server gives its requests to."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, request: HttpRequest) -> None:
        """Answer a request. Raises nothing but its own cancellation by a server that is not stopping."""
        service, asked, caller = self._service, _NOWHERE, None
        began = perf_counter_ns()
        answer: Answer | None = None
        try:
            head = Head(request.method, request.target, request.headers, request.version)
            path = head.path.rstrip("/") or "/"
            headers = dict(head.headers)
            answer = self._open(head.method, path)
            if answer is None:
                caller = service.enter(_text(headers.get(b"authorization")))
                try:
                    if caller.among.is_anonymous(caller):
                        check_local(head.host, headers.get(b"origin"))
                    body = await self._body(head, headers, request)
                    asked = rest.target(path) or _NOWHERE
                    answer = await self._answer(head.method, path, asked, headers, body, caller, began)
                finally:
                    service.leave(caller)
                answer = _compressed(answer, headers.get(b"accept-encoding"))
        except WasmindError as error:
            service.failed(caller, asked, "rest", error, began)
            answer = rest.refusal(error, dev=service.dev)
            if isinstance(error, MethodNotAllowed):
                answer = answer._replace(headers=(*answer.headers, (b"allow", error.allowed.encode())))
        except asyncio.CancelledError as cancelled:
            service.failed(caller, asked, "rest", cancelled, began)
            if request.cut:
                answer = rest.refusal(Overloaded("the server stops"), dev=service.dev)
            elif not request.gone:
                raise
        except Exception as failed:  # noqa: BLE001 - a mistake of ours may cost this request, never the process
            mistake = WasmindError(f"{type(failed).__name__}: {failed}", cause=traceback.format_exc())
            service.failed(caller, asked, "rest", mistake, began)
            answer = rest.refusal(mistake, dev=service.dev)
        if answer is not None:
            await _send(request, answer)

    def refused(self, error: RequestError) -> None:
        """Count what was no request; the connection has answered it."""
        self._service.failed(None, _NOWHERE, "rest", error, perf_counter_ns())

    def _open(self, method: str, path: str) -> Answer | None:
        """What everybody may know, None for all else."""
        if method not in ("GET", "HEAD"):
            return None
        match path:
            case "/v2/health/live":
                return rest.document({"live": True})
            case "/v2/health/ready":
                ready = self._service.ready
                return rest.document({"ready": ready}, 200 if ready else 503)
            case "/v2":
                return rest.server_metadata(wasmind.__version__)
        return None

    async def _body(self, head: Head, headers: dict[bytes, bytes], request: HttpRequest) -> bytes:
        """All of a request's body, its content coding undone. Raises BodyTooLarge, RequestError."""
        if not (head.length or head.chunked):
            return b""
        limits = self._service.limits
        request.body.allow(head, limits)
        parts = []
        while part := await request.body.receive():
            parts.append(part)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        coding = headers.get(b"content-encoding", b"identity").lower()
        return body if coding == b"identity" else _inflated(body, coding, int(limits.request_body))

    async def _answer(
        self,
        method: str,
        path: str,
        asked: Target,
        headers: dict[bytes, bytes],
        body: bytes,
        caller: Caller,
        began: int,
    ) -> Answer:
        service = self._service
        if asked.action == "infer" and method == "POST":
            inference = service.inference(caller)
            try:
                answer = await rest.answer(method, asked, headers, body, inference)
                service.answered(caller, asked, "rest", inference, began)
            finally:
                inference.close()
            return answer
        if asked is _NOWHERE or asked.model == "stats":
            return await self._repository(method, path, body, caller)
        if method in ("GET", "HEAD"):
            match asked.action:
                case "ready":
                    return rest.readiness(asked, ready=service.is_ready(caller, asked))
                case "stats":
                    return rest.document(
                        {"model_stats": service.statistics(caller, asked.model, asked.version)}
                    )
                case "":
                    return await self._metadata(asked, caller)
        inference = service.inference(caller)
        try:
            return await rest.answer(method, asked, headers, body, inference)
        finally:
            inference.close()

    async def _metadata(self, asked: Target, caller: Caller) -> Answer:
        inference = self._service.inference(caller)
        try:
            graph = await inference.graph(asked.model, asked.version)
            versions = caller.versions(asked.model)
            return rest.document(rest.model_metadata(asked.model, graph.signature, versions))
        finally:
            inference.close()

    async def _repository(self, method: str, path: str, body: bytes, caller: Caller) -> Answer:
        service = self._service
        match method, path.split("/")[2:]:
            case "GET", ["models", "stats"]:
                return rest.document({"model_stats": service.statistics(caller)})
            case "GET", ["models"]:
                return rest.document(
                    {"models": list(dict.fromkeys(named.name for named, _ in caller.models()))}
                )
            case "POST", ["repository", "index"]:
                ready = _read_index(body).ready
                return rest.document(service.index(caller, ready=ready))
            case "POST", ["repository", "models", model, ("load" | "unload") as action]:
                await service.manage(caller, model, load=action == "load")
                return rest.document({})
        raise RouteNotFound(
            f"nothing is served at {path[:200]!r}", remedy="GET /v2 tells what this server is"
        )


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _read_index(body: bytes) -> _Index:
    try:
        return msgspec.json.decode(body or b"{}", type=_Index)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument("the body is no request for the index", cause=str(error)) from error


def _inflated(body: bytes, coding: bytes, limit: int) -> bytes:
    """A body without its content coding, at most `limit` bytes. Raises RequestError, BodyTooLarge."""
    window = _CODINGS.get(coding)
    if window is None:
        raise RequestError(
            f"the content coding {coding[:40].decode('latin-1')!r} is not read here",
            remedy="use gzip, deflate or none",
        )
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not {coding.decode()}", cause=str(error)) from error
    if len(plain) > limit:
        raise BodyTooLarge(f"the body takes more than {limit} bytes when it is unpacked")
    if not inflater.eof:
        raise RequestError(f"the body is only the beginning of a {coding.decode()} stream")
    return plain


def _compressed(answer: Answer, accepted: bytes | None) -> Answer:
    """The answer as a client that accepts nothing but one coding wants it: others name codings by habit."""
    window = _CODINGS.get(accepted) if accepted is not None else None
    if window is None or accepted is None or len(answer.body) < COMPRESSED:
        return answer
    deflater = zlib.compressobj(1, wbits=window)
    body = deflater.compress(answer.body) + deflater.flush()
    return answer._replace(headers=(*answer.headers, (b"content-encoding", accepted)), body=body)


async def _send(request: HttpRequest, answer: Answer) -> None:
    response = request.response
    if request.gone:
        return
    if answer.status in (400, 413):
        response.keep_alive = response.keep_alive and request.body.ended
    response.start(answer.status, [*answer.headers, (b"content-length", b"%d" % len(answer.body))])
    with suppress(ClientGone):
        slow = response.body(answer.body, more=False)
        if slow is not None:
            await slow
