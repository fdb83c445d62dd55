"""Requests that cannot be served."""

from __future__ import annotations

from wasmind.errors.base import NnCode, WasmindError


class RequestError(WasmindError):
    """The request is at fault."""

    code, title, status = "request-invalid", "Invalid request", 400


class TokenRefused(RequestError):
    """The request has no token, or one that nobody was given."""

    code, title, status = "token-refused", "No valid token", 401


class NotAllowed(RequestError):
    """Whoever asks is known, and may not do this."""

    code, title, status = "not-allowed", "Not allowed", 403


class RouteNotFound(RequestError):
    """No function is routed at this host and path."""

    code, title, status = "route-not-found", "No such route", 404


class FunctionNotFound(RequestError):
    """The node has no function of this name."""

    code, title, status = "function-not-found", "No such function", 404


class MethodNotAllowed(RequestError):
    """The route exists, not for this method."""

    code, title, status = "method-not-allowed", "Method not allowed", 405

    def __init__(
        self, message: str, *, cause: str | None = None, remedy: str | None = None, allowed: str = ""
    ) -> None:
        """`allowed` is the value of the response's `Allow` header."""
        super().__init__(message, cause=cause, remedy=remedy)
        self.allowed = allowed


class HeadersTooLarge(RequestError):
    """The request's line and headers are more than a request may have."""

    code, title, status = "headers-too-large", "Request head too large", 431


class BodyTimeout(RequestError):
    """The request's body stalled."""

    code, title, status = "body-timeout", "Request body timed out", 408


class BodyTooLarge(RequestError):
    """The request's body is over the function's limit."""

    code, title, status = "body-too-large", "Request body too large", 413


class ClientGone(RequestError):
    """The client closed the connection; nobody reads the answer (the status is nginx's, for logs)."""

    code, title, status = "client-gone", "Client closed the request", 499


class Overloaded(WasmindError):
    """A limit on concurrency is spent; trying again later may work."""

    code, title, status, nn_code = "overloaded", "Overloaded", 503, NnCode.BUSY
    retry_after = 1.0


class FunctionBusy(Overloaded):
    """The function's own concurrency is spent."""

    code, title, status = "function-busy", "Too many requests for this function", 429
