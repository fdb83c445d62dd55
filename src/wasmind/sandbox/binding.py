"""Host functions as C callbacks.

A callback runs on the guest's fiber, inside the poll that runs the guest. Three rules hold everything here
together:

- No exception leaves a callback: it is kept on the guest, and the guest traps.
- A fiber is never suspended while a Python frame lives on it: a function that waits has returned before the
  guest is suspended. So an awaitable is kept on the guest and awaited by the task that polls it.
- Whose call it is, is known without looking: `current.guest` is set around each poll, and polls do not nest.
"""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import TYPE_CHECKING, Any

from wasmind.errors import MemoryFault
from wasmind.sandbox import ffi
from wasmind.sandbox.values import checked_layout, raw_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox.guest import Guest
    from wasmind.sandbox.interface import HostFunction


class Current:
    """The guest whose fiber runs now. It is None outside a poll."""

    __slots__ = ("guest",)

    def __init__(self) -> None:
        self.guest: Guest[Any] | None = None


current = Current()

_MOST_FRAMES = 8192
_DONE = ctypes.create_string_buffer(b"\1")  # see ffi.flag_is_set
_DONE_AT = ctypes.addressof(_DONE)
_CONTINUATION = Struct("<QQQ")  # wasmtime_async_continuation_t: callback, environment, finalizer
_PLAIN = frozenset({int, float, bool, type(None)})
_TRAP_TEXT = b"the host ended this call"


class Frames(dict[int, "ctypes.Array[ctypes.c_char]"]):
    """ctypes arrays over the addresses where arguments lie: `frames[address]` are the bytes there.

    Arguments lie on fibers' stacks, and the pool hands the same stacks out again: finding the array made for
    an address is a tenth of the cost of making it. An array is a bare address; it is only used for the call
    that named the address.
    """

    __slots__ = ("_make",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self._make = (ctypes.c_char * max(size, 1)).from_address

    def __missing__(self, address: int) -> ctypes.Array[ctypes.c_char]:
        if len(self) >= _MOST_FRAMES:
            self.clear()
        found = self[address] = self._make(address)
        return found


def bind(host: HostFunction) -> Any:
    """Make the C callback of a host function."""
    return ffi.AsyncCallback(_asynchronous(host)) if host.suspends else ffi.SyncCallback(_synchronous(host))


def _synchronous(host: HostFunction) -> Callable[[int, int, int, int], int]:
    layout, function = raw_layout(host.parameters), host.function
    unpack = layout.unpack_from
    results = raw_layout(host.results)
    pack, several = results.pack_into, len(host.results) > 1
    single = len(host.results) == 1
    frames, on_fault = Frames(max(layout.size, results.size)), host.on_fault

    def callback(_env: int, _caller: int, values: int, _count: int) -> int:
        guest = current.guest
        try:
            cells = frames[values]
            guest.figures.host_calls += 1  # type: ignore[union-attr]  # callbacks run only inside a poll
            result = function(guest, *unpack(cells))
            if single:
                pack(cells, 0, result)
            elif several:
                pack(cells, 0, *result)
        except MemoryFault as fault:
            if on_fault is None:
                return _trap(guest, host, fault)
            pack(frames[values], 0, on_fault)
        except BaseException as error:  # noqa: BLE001 - none may leave a C callback; the guest keeps and raises it
            return _trap(guest, host, error)
        return 0

    return callback


def _asynchronous(host: HostFunction) -> Callable[..., None]:
    layout, function = checked_layout(host.parameters), host.function
    unpack = layout.unpack_from
    arguments, continuations = Frames(layout.size), Frames(_CONTINUATION.size)
    continue_with = _CONTINUATION.pack_into
    settle, on_fault = _settler(host), host.on_fault
    finish = ctypes.cast(_finish_callback, ctypes.c_void_p).value if host.finishes else ffi.flag_is_set

    def callback(
        _env: int, _caller: int, values: int, _count: int, results: int, _n: int, trap: int, continuation: int
    ) -> None:
        guest = current.guest
        resume = continuations[continuation]
        continue_with(resume, 0, ffi.flag_is_set, _DONE_AT, 0)
        try:
            guest.figures.host_calls += 1  # type: ignore[union-attr]  # callbacks run only inside a poll
            answer = function(guest, *unpack(arguments[values]))
            if type(answer) in _PLAIN:
                settle(results, answer)
            else:
                wait = Wait(host, answer, results, trap, settle)
                continue_with(resume, 0, finish, guest.suspend(wait), 0)  # type: ignore[union-attr]
        except MemoryFault as fault:
            if on_fault is None:
                ctypes.c_size_t.from_address(trap).value = _trap(guest, host, fault)
            else:
                settle(results, on_fault)
        except BaseException as error:  # noqa: BLE001 - none may leave a C callback; the guest keeps and raises it
            ctypes.c_size_t.from_address(trap).value = _trap(guest, host, error)

    return callback


def _settler(host: HostFunction) -> Callable[[int, Any], None]:
    """How a result is written to where C waits for it."""
    if not host.results:

        def nothing(_address: int, value: Any) -> None:
            if value is not None:
                raise TypeError(f"{host} answers nothing, but got {value!r}")

        return nothing
    (result,) = host.results
    layout = Struct(f"<B{ffi.VAL_OFFSET - 1}x{result.code}")
    pack, frames, number = layout.pack_into, Frames(layout.size), result.kind.number
    return lambda address, value: pack(frames[address], 0, number, value)


class Wait:
    """What a suspended guest waits for, and where the result goes."""

    __slots__ = ("_results", "_settle", "_trap", "awaitable", "host")

    def __init__(
        self, host: HostFunction, awaitable: Any, results: int, trap: int, settle: Callable[[int, Any], None]
    ) -> None:
        if not hasattr(awaitable, "__await__"):
            raise TypeError(f"{host} answered {awaitable!r}, which is no number and cannot be awaited")
        self.host = host
        self.awaitable = awaitable
        self._results = results
        self._trap = trap
        self._settle = settle

    def settle(self, value: Any) -> None:
        """Write the result. Raises struct.error or TypeError for one of the wrong type."""
        self._settle(self._results, value)

    def trap(self, trap: int) -> None:
        """End the call with a trap instead."""
        ctypes.c_size_t.from_address(self._trap).value = trap

    def dispose(self) -> None:
        """Drop what nobody will await."""
        end = getattr(self.awaitable, "close", None) or getattr(self.awaitable, "cancel", None)
        if end is not None:
            end()


def _finish(_env: int) -> bool:
    """Finish, on the fiber, a host function whose wait is over."""
    guest = current.guest
    if guest is None or guest.finisher is None:
        return False
    wait, value = guest.finisher
    guest.finisher = None
    try:
        wait.settle(value())
    except BaseException as error:  # noqa: BLE001 - none may leave a C callback; the guest keeps and raises it
        wait.trap(_trap(guest, wait.host, error))
    return True


_finish_callback = ffi.Continuation(_finish)


def _trap(guest: Guest[Any] | None, host: HostFunction, error: BaseException) -> int:
    if guest is not None:
        guest.fail(host, error)
    trap: int = ffi.trap_new(_TRAP_TEXT, len(_TRAP_TEXT))
    return trap
