"""`wasmind status`, `reload` and `stop`: what a running node is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, state_of
from wasmind.cli.output import document, say, size, table

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.node.status import Command, ModelStatus, NodeStatus


def _ask(config: Path, command: Command) -> NodeStatus:
    from wasmind.node.client import ask

    return ask(state_of(config), command)


def status(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Show the running node: its processes, models, functions, and what is wrong."""
    found = _ask(config, "status")
    if json:
        document(found)
    else:
        _show(found)


def reload(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Make the running node read its configuration again; a broken one changes nothing and says why."""
    found = _ask(config, "reload")
    if json:
        document(found)
    else:
        say(f"generation {found.generation} serves {len(found.functions)} functions")


def stop(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Stop the running node: requests under way are finished first."""
    found = _ask(config, "stop")
    if json:
        document({"stopped": found.pid})
    else:
        say(f"stopped the node (process {found.pid})")


def _show(found: NodeStatus) -> None:
    from time import time

    say(f"wasmind {found.version}, process {found.pid}, {found.phase}, up {time() - found.started:.0f} s")
    say(f"functions at {found.functions_url}, API at {found.api_url}, generation {found.generation}")
    if found.inference_url is not None:
        say(f"inference at {found.inference_url}, by gRPC at {found.inference_grpc}")
    for problem in found.problems:
        say(f"problem: {problem}")
    if found.reload_failure:
        say(f"the last reload was refused: {found.reload_failure.error().explain()}")
    table(
        ("edge", "process", "state", "requests", "running", "guests", "restarts"),
        [(e.index, e.pid or "-", e.state, e.requests, e.running, e.guests, e.restarts) for e in found.edges],
        "no edge workers",
    )
    table(
        ("model", "scope", "state", "process", "memory", "restarts", "reason"),
        [
            (m.title, m.scope, m.state, _processes(m), size(m.memory), m.restarts, m.reason or "")
            for m in found.models
        ],
        "no models",
    )
    table(
        ("function", "routes", "models"),
        [(f.name, " ".join(f.routes), " ".join(f.models)) for f in found.functions],
        "no functions",
    )


def _processes(model: ModelStatus) -> str:
    """A model's process, or those that convert for it."""
    found = [model.pid, *(one.pid for one in model.converters)]
    return " ".join(str(pid) for pid in found if pid) or "-"
