"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from wasmind.errors import WasmindError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request


def problem(status: int, code: str, title: str, detail: str | None = None, **more: Any) -> Response:
    """A response with `application/problem+json`; `code` is stable, `detail` is for people."""
    body = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail, **more}
    return Response(
        msgspec.json.encode({key: value for key, value in body.items() if value is not None}),
        status_code=status,
        media_type="application/problem+json",
    )


def explain_errors(app: FastAPI) -> None:
    """Answer every error of `app` with problem details."""

    @app.exception_handler(WasmindError)
    async def ours(_: Request, error: WasmindError) -> Response:
        return problem(
            error.status, error.code, error.title, error.message, cause=error.cause, remedy=error.remedy
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(422, "request-invalid", "Invalid request", str(error.errors()))

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "request-invalid")
        return problem(error.status_code, code, error.detail)
