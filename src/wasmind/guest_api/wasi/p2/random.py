"""`wasi:random` 0.2: all of it from the system's cryptographic source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasmind.component.interface import WitInterface
from wasmind.component.types import List, Primitive, Tuple
from wasmind.errors import LimitExceeded
from wasmind.guest_api.wasi.preview1 import MAX_RANDOM

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.sandbox import Guest

_U64, _BYTES = Primitive.U64, List(Primitive.U8)

random = WitInterface("wasi:random/random@0.2.12")
insecure = WitInterface("wasi:random/insecure@0.2.12")
insecure_seed = WitInterface("wasi:random/insecure-seed@0.2.12")


@random.function("get-random-bytes", {"len": _U64}, _BYTES)
@insecure.function("get-insecure-random-bytes", {"len": _U64}, _BYTES)
def random_bytes(_guest: Guest[ComponentHost], length: int) -> bytes:
    """Random bytes."""
    if length > MAX_RANDOM:
        raise LimitExceeded(f"{length} random bytes at once", cause=f"a call gives at most {MAX_RANDOM}")
    return os.urandom(length)


@random.function("get-random-u64", result=_U64)
@insecure.function("get-insecure-random-u64", result=_U64)
def random_u64(_guest: Guest[ComponentHost]) -> int:
    """A random number."""
    return int.from_bytes(os.urandom(8))


@insecure_seed.function("insecure-seed", result=Tuple((_U64, _U64)))
def seed(guest: Guest[ComponentHost]) -> tuple[int, int]:
    """128 random bits, to protect hash tables with."""
    return random_u64(guest), random_u64(guest)
