"""A timer of the kernel's, which one thread sets and another waits for (timerfd_create(2)).

Putting it off is one short system call, and wakes nobody: a thread that waits with a time-out would have to
wake to wait for longer.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Final

_libc = ctypes.PyDLL(None, use_errno=True)
_create = _libc.timerfd_create
_create.argtypes = (ctypes.c_int, ctypes.c_int)
_set = _libc.timerfd_settime
_set.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_NANOSECONDS: Final = 1_000_000_000


class Alarm:
    """It goes off once, so long after it was last set."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._fd: int = _create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._times = (
            ctypes.c_long * 4
        )()  # struct itimerspec: the interval, which is none, and the time left
        self._at = ctypes.addressof(self._times)

    def set(self, nanoseconds: int) -> None:
        """Go off so long from now, at least 1 ns, instead of when it was set to before."""
        self._times[2], self._times[3] = divmod(nanoseconds, _NANOSECONDS)
        _set(self._fd, 0, self._at, None)

    def wait(self) -> None:
        """Wait until it has gone off."""
        os.read(self._fd, 8)

    def close(self) -> None:
        """Free it; nobody waits for it any more."""
        os.close(self._fd)
