"""What a caller's requests to one model took, split as Triton splits it."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.oip.inference import Inference


class Duration:
    """A count, and nanoseconds together."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = self.ns = 0

    def add(self, ns: int) -> None:
        """Count one more."""
        self.count += 1
        self.ns += ns


class ModelStatistics:
    """Counted since the process began. `queue` is the wait in the node, `compute_infer` the framework's time;
    `compute_input` and `compute_output` are what reading the request and writing the answer took.
    """

    PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")

    def __init__(self) -> None:
        self.parts = {name: Duration() for name in self.PARTS}
        self.last_ms = 0
        """When the last inference ended, in Unix time."""

    def succeeded(self, inference: Inference, began_ns: int, ended_ns: int) -> None:
        """One more request was answered."""
        parts, timing = self.parts, inference.session.timing
        parts["success"].add(ended_ns - began_ns)
        parts["queue"].add(timing.queue_ns)
        parts["compute_input"].add(max(0, inference.began_ns - began_ns))
        parts["compute_infer"].add(timing.compute_ns)
        parts["compute_output"].add(max(0, ended_ns - inference.ended_ns))
        self.last_ms = int(time() * 1000)

    def failed(self, ns: int) -> None:
        """One more request was not."""
        self.parts["fail"].add(ns)

    def as_dict(self, name: str, version: str) -> dict[str, object]:
        """The statistics in the protocol's words. A request counts as one execution, whatever its batch."""
        done = self.parts["success"].count
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_ms,
            "inference_count": done,
            "execution_count": done,
            "inference_stats": {part: {"count": d.count, "ns": d.ns} for part, d in self.parts.items()},
        }
