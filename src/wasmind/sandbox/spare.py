"""A guest made ready before its request comes, for programs that are asked for again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmind.errors import Overloaded, WasmindError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox.engine import Engine
    from wasmind.sandbox.guest import Guest


MOST_LATE = 8
"""How often a start may outlast a tick, as on a busy machine, until a program counts as slow to start."""


class Spare:
    """At most one sandbox, instantiated while nobody waits for it, and given to one run (decision 0029).

    It is as fresh as any: nothing of it has run but its program's start function, without a host. A program
    that cannot start so, or not within a tick, has none; nor is one made while half of the pool is in use.
    """

    __slots__ = ("_engine", "_guest", "_late", "_make", "_taken", "possible")

    def __init__(self, engine: Engine, make: Callable[[Any], Guest[Any]]) -> None:
        """`make` gives a guest, not yet started, for a host object."""
        self._engine = engine
        self._make = make
        self._guest: Guest[Any] | None = None
        self._taken = False
        self._late = 0
        self.possible = True
        """Whether the program can be started before its host is known, as far as was seen."""

    def take(self, host: Any) -> Guest[Any]:
        """A guest for this host: the one that is ready, or a new one."""
        guest = self._guest
        if guest is None:
            return self._make(host)
        self._guest = None
        self._taken = True
        self._engine.spares -= 1
        guest.lend(host)
        return guest

    def fill(self) -> None:
        """Make one ready for the next run, if there is none."""
        if self._guest is not None or not self.possible or self._engine.crowded:
            return
        guest = self._make(None)
        try:
            if guest.prepare():
                self._guest = guest
                self._engine.spares += 1
            else:
                self._late += 1
                self.possible = self._late < MOST_LATE
        except Overloaded:
            pass
        except WasmindError:
            self.possible = False
        if self._guest is not guest:
            guest.close()

    def expire(self) -> None:
        """Drop it if no run has taken one since this was last called."""
        if not self._taken:
            self.close()
        self._taken = False

    def close(self) -> None:
        """Drop it."""
        guest, self._guest = self._guest, None
        if guest is not None:
            self._engine.spares -= 1
            guest.close()
