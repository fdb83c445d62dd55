"""Inferences that go step by step: which are under way for whom, and when another may begin."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from wasmind.errors import RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasmind.worker.call import Call
    from wasmind.worker.connection import Connection
    from wasmind.worker.runtimes.base import Generation

_Key: TypeAlias = "tuple[Connection, int]"

PATIENCE_S = 10.0
"""How long a generation may pause between two steps while others wait for its place."""

_LOOK_AGAIN_NS = 10_000_000


class Generations:
    """The generations of all connections, and the room for them.

    Each has a place from the call that begins it until it has ended, failed, or is forgotten, or until it has
    paused for `PATIENCE_S` and another one wants to begin. Threads that run steps and the one that leads all
    come here, so there is a lock.
    """

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.free = places
        """Places that no generation has."""
        self._held: dict[_Key, Generation] = {}
        self._busy: set[_Key] = set()
        self._doomed: set[_Key] = set()
        self._stepped: dict[_Key, float] = {}
        """When each took its last step."""
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def under_way(self) -> bool:
        """Whether somebody may want another step of one."""
        with self._lock:
            return any(not generation.ended for generation in self._held.values())

    def take_place(self) -> bool:
        """Reserve a place for a call that is about to begin; False when there is none."""
        with self._lock:
            if not self.free and not self._reclaim():
                return False
            self.free -= 1
            return True

    def _reclaim(self) -> bool:
        """Take the place of the one that has paused longest, if that is too long."""
        idle = [key for key, held in self._held.items() if not held.ended and key not in self._busy]
        longest = min(idle, key=lambda key: self._stepped[key], default=None)
        if longest is None or self._clock() - self._stepped[longest] < PATIENCE_S:
            return False
        self._close(longest)
        return True

    def give_back(self) -> None:
        """Give a place back that was reserved and is not used."""
        with self._lock:
            self.free += 1

    @contextmanager
    def step(self, call: Call, begin: Callable[[], Generation]) -> Iterator[Generation]:
        """The generation of this call, for one step of it; what fails in a step is forgotten.

        A call with inputs begins one, in the place that it has. Raises RuntimeFailed when there is none to go
        on with, and whatever `begin` raises.
        """
        key = (call.connection, call.message.generation)
        begins = bool(call.message.dims)
        with self._lock:
            known = key in self._held
            # A cancellation is told before what it cancels is forgotten: what was forgotten does not begin.
            if call.cancelled or known is begins or key in self._busy:
                self.free += begins
                raise RuntimeFailed(
                    "there is no such generation",
                    cause="it was never begun, has failed before, or paused for more than "
                    f"{PATIENCE_S:g} s while others waited",
                    remedy="begin again",
                )
            self._busy.add(key)
        held: Generation | None = None
        over = failed = False
        try:
            held = self._held[key] = begin() if begins else self._held[key]
            over = held.ended
            yield held
        except BaseException:
            failed = True
            raise
        finally:
            with self._lock:
                self._busy.discard(key)
                self._stepped[key] = self._clock()
                unwanted = key in self._doomed
                self._doomed.discard(key)
                if held is None or (held.ended and not over):
                    self.free += 1
                if held is None:
                    del self._stepped[key]
                elif unwanted or (failed and not held.ended):
                    self._close(key)

    def forget(self, connection: Connection, number: int) -> None:
        """Nobody wants another step of this generation."""
        self._forget((connection, number))

    def forget_all(self, connection: Connection) -> None:
        """A connection has ended; its calls are cancelled by now."""
        with self._lock:
            keys = [key for key in {*self._held, *self._busy} if key[0] is connection]
        for key in keys:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        with self._lock:
            if key in self._busy:
                self._doomed.add(key)
            elif key in self._held:
                self._close(key)

    def _close(self, key: _Key) -> None:
        generation = self._held.pop(key)
        del self._stepped[key]
        if not generation.ended:
            generation.close()
            self.free += 1


class Turns:
    """A queue of steps, one at a time in order of arrival, so that generations take turns.

    A call with inputs needs a place, and waits for one while the steps of others pass it.
    """

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._steps: deque[Call] = deque()
        self._beginning: deque[Call] = deque()

    def add(self, call: Call) -> None:
        """Queue a call."""
        (self._beginning if call.message.dims else self._steps).append(call)

    def drop(self, call: Call) -> None:
        """Take a call out of the queue without running it."""
        call.left = True

    def due(self) -> int | None:
        """0 when a call may run; while all wait for a place, a few milliseconds: another thread gives it."""
        if _first(self._steps) is not None:
            return 0
        if _first(self._beginning) is None:
            return None
        return 0 if self._generations.free else _LOOK_AGAIN_NS

    def take(self) -> list[Call]:
        """The oldest call that may run."""
        step, beginning = _first(self._steps), _first(self._beginning)
        older = beginning is not None and (step is None or beginning.arrived < step.arrived)
        if older and self._generations.take_place():
            call = self._beginning.popleft()
        elif step is not None:
            call = self._steps.popleft()
        else:
            return []
        call.left = True
        return [call]


def _first(calls: deque[Call]) -> Call | None:
    while calls and calls[0].left:
        calls.popleft()
    return calls[0] if calls else None
