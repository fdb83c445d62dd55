"""What a WASI command may import here: the interfaces to compile and link one with."""

from __future__ import annotations

from wasmind.guest_api.wasi import preview1
from wasmind.guest_api.wasi_nn import legacy, witx

INTERFACES = (preview1.wasi, witx.nn, legacy.nn)
