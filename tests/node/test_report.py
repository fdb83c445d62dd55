"""What is said of a node: its status, its problems, its metrics, its progress."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from wasmind.errors import ConfigError
from wasmind.node.figures import NodeFigures
from wasmind.node.fleet import Fleet
from wasmind.node.plan import Plan
from wasmind.node.progress import LoggedProgress
from wasmind.node.report import function_statuses, model_problems, model_statuses
from wasmind.node.status import EdgeStatus, FunctionStatus, ModelStatus, NodeStatus
from wasmind.telemetry import logs
from wasmind.telemetry.metrics import Registry, merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def fleet(tmp_path: Path, plan: Plan) -> AsyncIterator[Fleet]:
    """A fleet with the plan's model, which was never started."""
    run = tmp_path / "r"
    run.mkdir()
    found = Fleet(run, lambda _: None, structlog.get_logger())
    for model in plan.models:
        found.add(model)
    yield found
    await found.close()


def status(**changes: Any) -> NodeStatus:
    model = ModelStatus(
        id="shared/m@1.2",
        name="m",
        scope="shared",
        digest="1",
        state="ready",
        encoding="onnx",
        runtime="onnxruntime 1",
        restarts=3,
        load_seconds=0.5,
        memory=1 << 20,
    )
    function = FunctionStatus(
        name="f",
        tenant="default",
        digest="2",
        routes=("/f", "/g/*"),
        host="example.org",
        methods=("GET", "POST"),
        models=("m",),
        limits={},
        allow_load=False,
    )
    settings: dict[str, Any] = {
        "version": "1",
        "pid": 1,
        "phase": "ready",
        "started": 0.0,
        "generation": 4,
        "config": None,
        "dev": False,
        "functions_url": "http://h:1",
        "api_url": "http://h:2",
        "edges": (EdgeStatus(index=0, pid=2, state="serving", restarts=5),),
        "models": (model,),
        "functions": (function,),
    }
    return NodeStatus(**settings | changes)


async def test_a_model_that_does_not_serve_is_a_problem_with_its_reason(plan: Plan, fleet: Fleet) -> None:
    (id_,) = fleet.models
    assert model_problems(fleet, [id_]) == ("the model 'linear' is loading: its process loads it",)
    assert model_problems(fleet, ["another"]) == ()


async def test_models_and_functions_are_told_with_what_joins_them(plan: Plan, fleet: Fleet) -> None:
    (model,) = model_statuses(fleet, plan)
    assert (model.functions, model.state, model.pid, model.memory) == (("ask",), "loading", None, None)
    assert model_statuses(fleet, None)[0].functions == ()
    http, ask = function_statuses(plan)
    assert (ask.models, http.models) == (("linear",), ())
    assert ask.limits["memory"] == 128 << 20
    assert function_statuses(None) == ()


async def test_a_models_socket_is_the_owners_alone_and_goes_with_it(tmp_path: Path, fleet: Fleet) -> None:
    (path,) = (tmp_path / "r").iterdir()
    assert path.stat().st_mode & 0o077 == 0


async def test_a_fleet_that_is_closed_leaves_no_socket(tmp_path: Path, fleet: Fleet) -> None:
    await fleet.stop(["another"])
    await fleet.close()
    assert list((tmp_path / "r").iterdir()) == []


def figures(directory: Path) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(merged(directory).decode())
        for sample in family.samples
    }


def test_the_status_becomes_metrics(tmp_path: Path) -> None:
    registry = Registry(tmp_path, os.getpid())
    found = NodeFigures(registry)
    now = status()
    found.update(now.models, now.edges, control_restarts=2, generation=4, reload_refused=True)
    registry.flush()
    written = figures(tmp_path)
    assert written["wasmind_model_ready", "m", "shared"] == 1
    assert written["wasmind_model_memory_bytes", "m", "shared"] == 1 << 20
    assert written["wasmind_model_load_seconds", "m", "shared"] == 0.5
    assert written["wasmind_process_restarts_total", "model", "m"] == 3
    assert written["wasmind_process_restarts_total", "edge", "0"] == 5
    assert written["wasmind_process_restarts_total", "control", "0"] == 2
    assert written["wasmind_config_generation",] == 4
    assert written["wasmind_config_reload_refused",] == 1
    found.update((), now.edges, control_restarts=2, generation=5, reload_refused=False)
    registry.close()
    written = figures(tmp_path)
    assert written["wasmind_model_ready", "m", "shared"] == 0, "a model that is gone is not ready"
    assert written["wasmind_config_reload_refused",] == 0


def test_records_tell_what_is_served_where(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    progress = LoggedProgress(logs.configure("console", fd=fd))
    progress.begin(["f"], ["m"])
    progress.ready(status(problems=("the model 'x' is failed",)))
    progress.end()
    os.close(fd)
    lines = [line[11:] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines == [
        "compiling and loading  functions=1 models=1",
        'http://h:1/f  function=f host=example.org methods="GET POST" models=m',
        'http://h:1/g/*  function=f host=example.org methods="GET POST" models=m',
        "not served  problem=\"the model 'x' is failed\"",
        "ready  functions=http://h:1 api=http://h:2",
    ]


async def test_a_failed_model_is_told_with_its_cause(tmp_path: Path, fleet: Fleet) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    (model,) = fleet.models.values()
    model.failure = ConfigError("it is broken", cause="bits fell out")
    LoggedProgress(logs.configure("console", fd=fd)).model(model)
    os.close(fd)
    text = (tmp_path / "log").read_text()
    assert "model not ready  model=linear" in text
    assert "error: it is broken" in text
    assert "cause: bits fell out" in text
