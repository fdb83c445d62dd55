"""A circuit breaker: a server that keeps failing is left alone for a while, then tried with one request."""

from __future__ import annotations

from collections.abc import Callable


class Breaker:
    """Closed (requests pass), open (none do), half open (one does, and decides).

    It opens after `threshold` failures in a row, for `pause` seconds, doubled at each failed probe up to
    `longest`. Times are those of `clock`, in seconds. (M. Nygard, "Release It!", 2007, ch. 5.)
    """

    def __init__(
        self, clock: Callable[[], float], *, threshold: int = 5, pause: float = 1.0, longest: float = 30.0
    ) -> None:
        self._clock, self._threshold, self._first, self._longest = clock, threshold, pause, longest
        self._failures, self._pause, self._until = 0, pause, 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the server has failed too often and has not yet answered again."""
        return self._failures >= self._threshold

    @property
    def remaining(self) -> float:
        """Seconds until a probe is let through; 0 when one may go now."""
        return max(0.0, self._until - self._clock()) if self.is_open else 0.0

    def ready(self) -> bool:
        """Whether `enter` would let a request through."""
        return not self.is_open or (not self._probing and self._clock() >= self._until)

    def enter(self) -> bool:
        """A request goes out; whether it is the probe, which its end is to be told with."""
        probe = self.is_open
        self._probing = self._probing or probe
        return probe

    def succeeded(self) -> None:
        """The server answered, were it with a refusal."""
        self._failures, self._pause, self._probing = 0, self._first, False

    def failed(self, probe: bool = False) -> None:
        """The server did not answer, or not as a server.

        What was sent before the breaker opened, and fails after, tells nothing new: the pause stays.
        """
        if self.is_open and not probe:
            return
        if probe:
            self._pause = min(self._pause * 2, self._longest)
            self._probing = False
        self._failures += 1
        if self.is_open:
            self._until = self._clock() + self._pause

    def abandoned(self, probe: bool = False) -> None:
        """The request was cancelled before it told anything; after a probe, the next one may be it."""
        if probe:
            self._probing = False
