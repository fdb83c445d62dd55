"""The process that compiles: a module on standard input, native code on standard output, a reason on standard
error.

    python -m wasmind.sandbox.compile_worker PROFILE STACK MEMORY CPU

Compiling means parsing and optimising what a stranger wrote, so it is done here, under limits on memory and
time, and nothing else is.
"""

from __future__ import annotations

import os
import resource
import sys


def limit(kind: int, value: int) -> None:
    """Lower a limit of this process; one that is lower already stays."""
    hard = resource.getrlimit(kind)[1]
    ends = value + 1  # one more second after the signal that says why
    if hard != resource.RLIM_INFINITY:
        value, ends = min(value, hard), min(ends, hard)
    resource.setrlimit(kind, (value, ends))


def main(profile: str, stack: int, memory: int, cpu_s: int) -> int:
    """Compile; returns the exit status: 0, or 1 when the module is refused."""
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, cpu_s)
    if memory:
        limit(resource.RLIMIT_AS, memory)
    from wasmind.sandbox import ffi, settings

    with open(0, "rb") as source:
        wasm = source.read()
    out = ffi.Vec()  # a vector, or a pointer in its first word
    at = ffi.address(out)
    engine = ffi.engine_new(settings.configure(settings.PROFILES[profile], stack))
    error = ffi.module_new(engine, wasm, len(wasm), at)
    if error:
        sys.stderr.write(ffi.take_error(error))
        return 1
    error = ffi.module_serialize(out.size, at)
    if error:
        sys.stderr.write(ffi.take_error(error))
        return 1
    with open(1, "wb") as target:
        target.write(ffi.view(out))
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    sys.stderr.flush()
    os._exit(status)  # nothing to tear down that the kernel does not
