"""Which of two places an inference goes to: as configured, or by what it takes there now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.config import Prefer

WEIGHT = 0.2
"""What the newest measurement counts for in the mean."""
RENEW_S = 10.0
"""A place that was not used for so long gets one inference, so that its figure is not too old."""
AVOIDED_S = 1.0
"""How long a place that was down is asked last."""


class Pace:
    """What an inference takes at one place, and how many are there."""

    __slots__ = ("_avoided", "_measured", "_parallel", "_seconds", "running")

    def __init__(self, parallel: int) -> None:
        """`parallel` inferences run there at once; more wait."""
        self._parallel = parallel
        self._seconds: float | None = None
        self._measured = self._avoided = float("-inf")
        self.running = 0

    def measured(self, seconds: float, now: float) -> None:
        """An inference took so long there, without waiting for its turn."""
        known = self._seconds
        self._seconds = seconds if known is None else known + WEIGHT * (seconds - known)
        self._measured = now

    def failed(self, now: float) -> None:
        """It was down, or late."""
        self._avoided = now + AVOIDED_S
        self._measured = now

    def unknown(self, now: float) -> bool:
        """Whether nothing is known of it, or not any more, and nothing that runs there will tell."""
        return not self.running and now - self._measured > RENEW_S

    def expected(self, now: float) -> float:
        """Seconds that one more would take, those before it included."""
        if now < self._avoided:
            return float("inf")
        return (self._seconds or 0.0) * (self.running // self._parallel + 1)


def local_first(prefer: Prefer, local: Pace, remote: Pace, now: float) -> bool:
    """Whether the next inference is done here."""
    if prefer != "fastest":
        return prefer == "local"
    for pace, here in ((local, True), (remote, False)):
        if pace.unknown(now):
            return here
    return local.expected(now) <= remote.expected(now)
