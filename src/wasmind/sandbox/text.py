"""The text format, for tests and examples."""

from __future__ import annotations

import ctypes

from wasmind.errors import NotWasm
from wasmind.sandbox import ffi


def from_text(wat: str) -> bytes:
    """Translate a module from the text format to the binary one. Raises NotWasm, which says where the text is
    wrong."""
    text = wat.encode()
    vec = ffi.Vec()
    error = ffi.wat2wasm(text, len(text), ctypes.addressof(vec))
    if error:
        raise NotWasm("this is no module in the text format", cause=ffi.take_error(error))
    return ffi.take_bytes(vec)
