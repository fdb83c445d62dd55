"""wasi:http/proxy 0.2: requests served by components, and the requests they send."""

from __future__ import annotations

from wasmind.guest_api.wasi_http.client import Client
from wasmind.guest_api.wasi_http.exchange import Exchange, Service
from wasmind.guest_api.wasi_http.interfaces import INTERFACES, WORLD

__all__ = ["INTERFACES", "WORLD", "Client", "Exchange", "Service"]
