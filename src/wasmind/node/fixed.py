"""What of a configuration a running node cannot change: it takes a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import ConfigError

if TYPE_CHECKING:
    from wasmind.config import Config
    from wasmind.node.plan import Plan

_SETTINGS = ("workers", "host", "ports", "state", "tick_ms", "log", "log_level")


def fixed_settings(before: Config, after: Config) -> list[str]:
    """The settings that differ and that a running node cannot change."""
    found = [name for name in _SETTINGS if getattr(before.node, name) != getattr(after.node, name)]
    return found + ["inference.workers"] * (before.inference.workers != after.inference.workers)


def with_running_stack(plan: Plan, running: Plan) -> Plan:
    """`plan` with the stack of the node that runs: it is the engine's, which an edge worker makes once.

    Raises ConfigError if it is too small.
    """
    stack = running.node.stack
    if plan.node.stack > stack:
        raise ConfigError(
            f"a function asks for {plan.node.stack} bytes of stack",
            cause=f"the node runs with {stack}, which is fixed when it starts",
            remedy="restart the node, or lower limits.stack",
        )
    return msgspec.structs.replace(plan, node=msgspec.structs.replace(plan.node, stack=stack))
