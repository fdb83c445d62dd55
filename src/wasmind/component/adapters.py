"""Core code between component instances: calls from one to another, and destructors.

The host lifts and lowers the values before and after, but the call itself is made by core code: so the callee
may suspend the guest, which it could not if a frame of the host were below it.
"""

from __future__ import annotations

from wasmind.component.core import emit
from wasmind.component.core.types import CoreFunction

CALL = "call"
"""What these modules export."""
DROP = CoreFunction(("i32",), ())
DROP_ENTER = CoreFunction(("i32",), ("i32", "i32"))
NOTHING = CoreFunction((), ())

_LOCAL_GET = b"\x20"
_LOCAL_SET = b"\x21"
_CALL = b"\x10"
_IF = b"\x04\x40"
_END = b"\x0b"


def adapter_types(caller: CoreFunction, callee: CoreFunction) -> tuple[CoreFunction, CoreFunction]:
    """The types of the host's functions around a call: `plan.AdapterEnter` and `plan.AdapterLeave`."""
    returned = _return_pointer(caller, callee)
    leave = CoreFunction((*callee.results, *(["i32"] if returned else [])), caller.results)
    return CoreFunction(caller.params, callee.params), leave


def _return_pointer(caller: CoreFunction, callee: CoreFunction) -> bool:
    """Whether the caller's last parameter says where the result is to be written."""
    return bool(callee.results) and bool(caller.params) and not caller.results


def adapter_module(caller: CoreFunction, callee: CoreFunction, *, post_return: bool) -> bytes:
    """A module that exports a function of the caller's type and calls one of the callee's.

    It imports, in this order: enter, callee, leave and, with `post_return`, that function and exit.
    """
    enter, leave = adapter_types(caller, callee)
    imports = [("enter", enter), ("callee", callee), ("leave", leave)]
    if post_return:
        imports += [("post-return", CoreFunction(callee.results, ())), ("exit", NOTHING)]
    kept = len(caller.params)
    keep = _LOCAL_SET + emit.u32(kept) if callee.results else b""
    result = _LOCAL_GET + emit.u32(kept) if callee.results else b""
    code = b"".join(_LOCAL_GET + emit.u32(index) for index in range(len(caller.params)))
    code += _call(0) + _call(1) + keep + result
    if _return_pointer(caller, callee):
        code += _LOCAL_GET + emit.u32(len(caller.params) - 1)
    code += _call(2)
    if post_return:
        code += result + _call(3) + _call(4)
    return emit.small_module(imports, (CALL, caller, callee.results, code))


def drop_module() -> bytes:
    """A module whose function drops a handle: it imports enter, the destructor and leave, in this order."""
    imports = [("enter", DROP_ENTER), ("destructor", DROP), ("leave", NOTHING)]
    code = _LOCAL_GET + b"\0" + _call(0) + _LOCAL_SET + b"\1"
    code += _IF + _LOCAL_GET + b"\1" + _call(1) + _call(2) + _END
    return emit.small_module(imports, (CALL, DROP, ("i32",), code))


def forward_module(kind: CoreFunction) -> bytes:
    """A module whose function calls the one it imports, so that a host's function becomes an export."""
    code = b"".join(_LOCAL_GET + emit.u32(index) for index in range(len(kind.params))) + _call(0)
    return emit.small_module([("callee", kind)], (CALL, kind, (), code))


def _call(index: int) -> bytes:
    return _CALL + emit.u32(index)
