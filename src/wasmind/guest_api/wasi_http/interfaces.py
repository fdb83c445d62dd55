"""What a component that serves HTTP may import: wasi:http/proxy, all of WASI 0.2, wasi:nn."""

from __future__ import annotations

from wasmind.guest_api.wasi import p2
from wasmind.guest_api.wasi_http import incoming, outgoing, wit
from wasmind.guest_api.wasi_nn import pending
from wasmind.guest_api.wasi_nn import wit as nn

_DECLARED = (incoming, outgoing)  # importing them declares their functions
INTERFACES = (wit.types, outgoing.outgoing_handler)
"""wasi:http itself."""

WORLD = (*p2.INTERFACES, *INTERFACES, *nn.INTERFACES, *pending.INTERFACES)
"""All of it."""

HANDLER = "wasi:http/incoming-handler@0.2.0"
"""What a component exports that serves HTTP."""
