"""Requests and responses over wasi:http, and the decorator that makes a function the component's handler."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import streams, types

CHUNK = 65536
F = TypeVar("F", bound=Callable[..., Any])


class HttpError(Exception):
    """Ends a request with a status and a line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Headers(Mapping[str, str]):
    """Header fields; names in any case. Several fields of one name are joined by a comma."""

    def __init__(self, entries: Iterable[tuple[str, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in entries:
            key, text = name.lower(), value.decode("latin-1")
            self._values[key] = f"{self._values[key]}, {text}" if key in self._values else text

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Request:
    """What was asked."""

    def __init__(self, incoming: Any) -> None:
        self._incoming = incoming
        self._body: bytes | None = None
        method = incoming.method()
        self.method: str = getattr(method, "value", None) or type(method).__name__.rpartition("_")[2].upper()
        self.target: str = incoming.path_with_query() or "/"
        path, _, self.query_string = self.target.partition("?")
        self.path: str = unquote(path)
        with incoming.headers() as fields:
            self.headers = Headers(fields.entries())

    @property
    def host(self) -> str | None:
        """The host that was asked for."""
        return self._incoming.authority() or self.headers.get("host")

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last of those with one name."""
        return {name: values[-1] for name, values in parse_qs(self.query_string, True).items()}

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. It can be had once."""
        with self._incoming.consume() as body, body.stream() as stream:
            while True:
                try:
                    yield stream.blocking_read(CHUNK)
                except Err as error:
                    if isinstance(error.value, streams.StreamError_Closed):
                        return
                    raise

    @property
    def body(self) -> bytes:
        """The whole body."""
        if self._body is None:
            self._body = b"".join(self.chunks())
        return self._body

    def text(self) -> str:
        """The body as text. Raises HttpError (400)."""
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise HttpError(400, f"the body is no text: {error}") from None

    def json(self) -> Any:
        """The body as JSON says it. Raises HttpError (400)."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HttpError(400, f"the body is no JSON: {error}") from None


class Response:
    """What is answered. The body is text, bytes, something for JSON, or an iterator of bytes, streamed."""

    def __init__(self, body: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        kind = "application/octet-stream"
        if isinstance(body, str):
            body, kind = body.encode(), "text/plain; charset=utf-8"
        elif isinstance(body, (dict, list, tuple, int, float)) or body is None:
            body, kind = json.dumps(body).encode(), "application/json"
        self.body: bytes | Iterable[bytes] = body
        self.headers.setdefault("content-type", kind)
        if isinstance(body, (bytes, bytearray, memoryview)):
            self.headers.setdefault("content-length", str(len(body)))


def handler(function: F) -> F:
    """Make `function` the component's handler: it takes a Request, and gives a Response or the body of one.

    An HttpError becomes a response; any other exception goes to the function's log, and the host answers.
    """

    class IncomingHandler(exports.IncomingHandler):
        def handle(self, request: Any, response_out: Any) -> None:
            with request:
                try:
                    answer = _answer(function, Request(request))
                except Exception as error:  # noqa: BLE001 - whatever it is, the host is told
                    traceback.print_exc()
                    failure = types.ErrorCode_InternalError(f"{type(error).__name__}: {error}")
                    types.ResponseOutparam.set(response_out, Err(failure))
                else:
                    _send(answer, response_out)

    function.__globals__["IncomingHandler"] = IncomingHandler  # where componentize-py looks for it
    return function


def _answer(function: Callable[..., Any], request: Request) -> Response:
    try:
        answer = function(request)
    except HttpError as error:
        return Response(f"{error}\n", error.status)
    return answer if isinstance(answer, Response) else Response(answer)


def _send(answer: Response, response_out: Any) -> None:
    fields = [(name, value.encode("latin-1")) for name, value in answer.headers.items()]
    response = types.OutgoingResponse(types.Fields.from_list(fields))
    response.set_status_code(answer.status)
    body = response.body()
    types.ResponseOutparam.set(response_out, Ok(response))
    whole = isinstance(answer.body, (bytes, bytearray, memoryview))
    with body.write() as stream:
        for part in [answer.body] if whole else answer.body:
            _write(stream, bytes(part))
    types.OutgoingBody.finish(body, None)


def _write(stream: Any, data: bytes) -> None:
    """Write all of it, as much at once as the host takes."""
    at = 0
    while at < len(data):
        room = stream.check_write()
        if not room:
            with stream.subscribe() as writable:
                writable.block()
            continue
        stream.write(data[at : at + room])
        at += room
    stream.blocking_flush()
