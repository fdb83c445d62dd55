"""What one run of a guest used."""

from __future__ import annotations

import msgspec


class Figures(msgspec.Struct, gc=False):
    """What one run used, in nanoseconds and bytes; read it while the guest runs or after it ended.

    `cpu_ns` is the time that its polls took, host functions included; `waited_ns` the time it was suspended
    in host functions; `inference_ns` the part of that which inferences took, added by who runs them. Both are
    no CPU. `wall_ns` runs from the guest's making to its close.
    """

    cpu_ns: int = 0
    wall_ns: int = 0
    waited_ns: int = 0
    inference_ns: int = 0
    memory_peak: int = 0
    host_calls: int = 0
