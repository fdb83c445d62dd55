"""Errors as `application/problem+json` (RFC 9457).

The client learns the code and the title; what happened and why reach it in dev mode only, since they may name
models, paths or limits that are nobody else's business. The function's log always has the whole explanation.
"""

from __future__ import annotations

import math

import msgspec

from wasmind.errors import WasmindError


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The members of a problem document."""

    type: str
    title: str
    status: int
    code: str
    instance: str
    """The request's id, as in `x-request-id` and in the log."""
    detail: str | None = None
    cause: str | None = None
    remedy: str | None = None


_encode = msgspec.json.Encoder().encode


def problem(error: WasmindError, request_id: bytes, *, dev: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and body that tell a client of `error`."""
    instance = request_id.decode("ascii")
    kind = "urn:wasmind:problem:" + error.code
    if dev:
        body = Problem(
            kind, error.title, error.status, error.code, instance, error.message, error.cause, error.remedy
        )
    else:
        body = Problem(kind, error.title, error.status, error.code, instance)
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    return headers, _encode(body)
