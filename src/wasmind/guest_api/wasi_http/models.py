"""The virtual backend: requests to `http://models.wasmind.internal` are answered by the node's own models.

A guest whose language cannot import wasi-nn asks by the Open Inference Protocol instead, with the HTTP client
it has. No socket is involved; names, limits and figures are those of its wasi-nn session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import wasmind
from wasmind.component.abi.values import Err
from wasmind.errors import RouteNotFound, TooLarge, WasmindError
from wasmind.guest_api.cgi.body import BodySource
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.messages import IncomingResponse
from wasmind.guest_api.wasi_http.origin import Origin
from wasmind.oip import rest
from wasmind.oip.inference import VERSION, Inference

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from wasmind.guest_api.wasi_http.bodies import ErrorCode
    from wasmind.guest_api.wasi_http.messages import OutgoingRequest
    from wasmind.nn.session import Session
    from wasmind.oip.rest import Answer

ORIGIN = Origin("http", "models.wasmind.internal", 80)
EXTENSIONS = ("binary_tensor_data", "classification")


async def ask(
    request: OutgoingRequest,
    body: AsyncIterable[bytes],
    session: Session,
    note: Callable[[str], None],
) -> IncomingResponse | Err[ErrorCode]:
    """Answer a guest's request. Raises StreamFailure when the guest gives its request's body up."""
    inference = Inference(session)
    held = 0
    try:
        parts = []
        async for part in body:
            session.hold(len(part))
            held += len(part)
            parts.append(part)
        answer = await _answer(request, b"".join(parts), inference)
    except WasmindError as error:
        note(f"a request to {ORIGIN.host} failed: {error.explain()}")
        answer = rest.refusal(error, dev=False)
    finally:
        session.let_go(held)
        inference.close()
    return _response(answer, session)


async def _answer(request: OutgoingRequest, body: bytes, inference: Inference) -> Answer:
    path = unquote((request.path_with_query or "/").partition("?")[0]).rstrip("/")
    match path:
        case "/v2":
            return rest.server_metadata(wasmind.__version__, EXTENSIONS)
        case "/v2/health/live":
            return rest.document({"live": True})
        case "/v2/health/ready":
            return rest.document({"ready": True})
    asked = rest.target(path)
    if asked is None:
        raise RouteNotFound(
            f"{ORIGIN.host} has nothing at {path[:200]!r}",
            remedy="POST /v2/models/NAME/infer, or GET /v2/models/NAME",
        )
    if asked.version == VERSION:
        asked = asked._replace(version="")
    method = request.method.upper() if isinstance(request.method, str) else request.method[1]
    headers = {name.lower(): value for name, value in request.headers.wire()}
    return await rest.answer(method, asked, headers, body, inference)


def _response(answer: Answer, session: Session) -> IncomingResponse | Err[ErrorCode]:
    """The answer as a response; its body counts as the guest's memory on the host until it is read."""
    size = len(answer.body)
    try:
        session.hold(size)
    except TooLarge:
        return Err(("HTTP-response-body-size", size))
    left = [answer.body]

    async def receive() -> bytes:
        if not left:
            return b""
        session.let_go(size)
        return left.pop()

    headers = [*answer.headers, (b"content-length", b"%d" % size)]
    return IncomingResponse(answer.status, Fields.received(headers), BodySource(receive))
