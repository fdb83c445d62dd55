"""The interfaces of wasi:http that a component may import."""

from __future__ import annotations

from wasmind.guest_api.wasi_http import incoming, outgoing, wit

_DECLARED = (incoming, outgoing)  # importing them declares their functions
INTERFACES = (wit.types, outgoing.outgoing_handler)
