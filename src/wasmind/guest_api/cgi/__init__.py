"""HTTP requests served by WASI commands: CGI/1.1 (RFC 3875) on the guest's standard streams."""

from __future__ import annotations

from wasmind.guest_api.cgi.body import Receive
from wasmind.guest_api.cgi.exchange import Exchange
from wasmind.guest_api.cgi.request import Environment, Request
from wasmind.guest_api.cgi.response import WINDOW, Response

__all__ = ["WINDOW", "Environment", "Exchange", "Receive", "Request", "Response"]
