"""Traps and errors of Wasmtime, explained."""

from __future__ import annotations

import ctypes
import re

from wasmind.errors import GuestTrap, LimitExceeded, Overloaded, WasmindError
from wasmind.sandbox import ffi

_MOST_FRAMES = 16
_MOST_NAME = 120
_NEARLY = 1 << 20

_CODES = {
    0: ("the call stack is exhausted", "recursion without end, or very large local variables"),
    1: ("out-of-bounds memory access", "a pointer or an index outside the function's memory"),
    2: ("misaligned atomic access", None),
    3: ("out-of-bounds table access", None),
    4: (
        "an indirect call through a null function",
        "a function pointer that was never set, or a missing import",
    ),
    5: ("an indirect call of the wrong type", "a function pointer cast to another type"),
    6: ("integer overflow", None),
    7: ("integer division by zero", None),
    8: ("a conversion of a number that no integer can hold", None),
    9: ("`unreachable` was executed", "a panic, an abort or a failed assertion; see what it wrote to stderr"),
    12: ("an atomic wait on memory that is not shared", None),
    13: ("a null reference was used", None),
    15: ("an allocation that is too large", None),
}


def free(trap: int, error: int) -> None:
    """Free a trap and an error; 0 is none."""
    if trap:
        ffi.trap_delete(trap)
    if error:
        ffi.error_delete(error)


def explain_trap(trap: int, memory: int, most_memory: int) -> WasmindError:
    """Turn a `wasm_trap_t` into an error, and free it. `memory` is what the guest had of `most_memory`
    bytes."""
    code = ctypes.c_uint8()
    known = _CODES.get(code.value) if ffi.trap_code(trap, ctypes.addressof(code)) else None
    vec = ffi.Vec()
    ffi.trap_trace(trap, ctypes.addressof(vec))
    trace = _frames(vec)
    if known is None:
        ffi.trap_message(trap, ctypes.addressof(vec))
        text = _last_cause(ffi.take_bytes(vec).rstrip(b"\0").decode("utf-8", "replace"))
        known = (printable(text), None)
    ffi.trap_delete(trap)
    what, usually = known
    if memory > most_memory - _NEARLY:
        usually = f"its memory had grown to {memory >> 20} MiB of the {most_memory >> 20} that it may have"
    cause = "; ".join(part for part in (usually, f"at {trace}" if trace else None) if part)
    return GuestTrap(f"the function trapped: {what}", cause=cause or None)


def explain_error(error: int) -> WasmindError:
    """Turn a `wasmtime_error_t` that no trap describes into an error, and free it."""
    text = ffi.take_error(error)
    cause = printable(_last_cause(text))
    if "concurrent" in text and "limit" in text:
        return Overloaded("too many functions are running in this process", cause=cause)
    if "memory" in text and ("limit" in text or "exceed" in text):
        return LimitExceeded(
            "the function needs more memory than its limit", cause=cause, remedy="raise `limits.memory`"
        )
    if "table" in text and ("limit" in text or "exceed" in text):
        return LimitExceeded(
            "the function's tables are over its limit", cause=cause, remedy="raise `limits.table_elements`"
        )
    if "mmap" in text or "mprotect" in text or "allocate" in text:
        return Overloaded("the machine has no memory for another function", cause=cause)
    return GuestTrap("the function could not run", cause=cause)


def _last_cause(text: str) -> str:
    """The innermost cause of a chain as Rust's anyhow prints it, without the backtrace."""
    causes = re.findall(r"^ {4}(?:\d+: )?(.+)$", text.partition("Caused by:")[2], re.MULTILINE)
    return causes[-1] if causes else text.strip().partition("\n")[0]


def _frames(vec: ffi.Vec) -> str:
    """The innermost functions of a backtrace, by name where the module has names; frees it."""
    count = min(vec.size, _MOST_FRAMES)
    pointers = ffi.pointers(count).from_address(vec.data) if count else ()
    names = [_frame(pointer) for pointer in pointers]
    if vec.size > count:
        names.append(f"… {vec.size - count} more")
    ffi.frame_vec_delete(ctypes.addressof(vec))
    return " ← ".join(names)


def _frame(frame: int) -> str:
    name = ffi.frame_func_name(frame)
    offset = ffi.frame_module_offset(frame)
    if not name:
        return f"function {ffi.frame_func_index(frame)} (at {offset:#x})"
    vec = ffi.Vec.from_address(name)
    return f"{printable(ctypes.string_at(vec.data, vec.size).decode('utf-8', 'replace'))} (at {offset:#x})"


def printable(text: str, most: int = _MOST_NAME) -> str:
    """A guest's text on one line of a log: control and escape characters shown, its length bounded."""
    short = text if len(text) <= most else text[:most] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in short)
