"""What a gRPC answer says became of its call (gRPC over HTTP/2, "Responses")."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from wasmind.backends.oip.exchange import Answer, StreamReset
from wasmind.httpd import frames

NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""By number."""

_OF_HTTP = {
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    429: "UNAVAILABLE",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
_OF_RESET = {
    frames.REFUSED_STREAM: "UNAVAILABLE",
    frames.CANCEL: "CANCELLED",
    frames.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    frames.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}


class Failed(Exception):
    """The call has no message: the status's name, and the server's words."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


def message_of(answer: Answer) -> memoryview:
    """The one message of an answer. Raises Failed."""
    told = answer.trailers.get(b"grpc-status")
    if told != b"0" or answer.status != 200:
        raise _failure(answer, told)
    body = memoryview(answer.body)
    if len(body) < 5 or len(body) != 5 + int.from_bytes(body[1:5], "big"):
        raise Failed("INTERNAL", "the answer has not exactly one whole message")
    if body[0]:
        raise Failed("INTERNAL", "the answer is compressed, which was not asked for")
    return body[5:]


def of_reset(reset: StreamReset) -> Failed:
    """What a stream's end without an answer means."""
    return Failed(_OF_RESET.get(reset.code, "INTERNAL"), str(reset))


def _failure(answer: Answer, told: bytes | None) -> Failed:
    if told is None:
        name = _OF_HTTP.get(answer.status, "UNKNOWN")
        return Failed(name, f"it is no gRPC answer, and has HTTP status {answer.status}")
    number = int(told) if told.isdigit() and len(told) < 4 else len(NAMES)
    name = NAMES[number] if 0 < number < len(NAMES) else "UNKNOWN"
    words = unquote_to_bytes(answer.trailers.get(b"grpc-message", b""))
    return Failed(name, words[:2000].decode("utf-8", "replace")[:500] or "no text")
