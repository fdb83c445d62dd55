"""The reference of metrics names every metric with its labels."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from wasmind.node.figures import NodeFigures
from wasmind.node.status import EdgeStatus, ModelStatus
from wasmind.telemetry.figures import EdgeFigures, OipFigures
from wasmind.telemetry.metrics import Registry, merged

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md").read_text()


def test_every_metric_is_listed_with_its_labels(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    figures = EdgeFigures(registry)
    function, model = figures.function("f"), figures.model("m", "shared")
    function.ended(200, 0.1, 0.1, 0.1, 1)
    function.failed("guest-trap")
    model.ended("success", 0.1)
    model.split(0.1, 0.1, 1)
    model.looked_up(hit=True)
    model.generated(5, 7)
    remote = figures.elsewhere.remote("m", "shared")
    server = remote.server("http://s")
    server.ended("success")
    alternative = figures.elsewhere.alternative("m", "shared", "n")
    alternative.stood_in("down")
    OipFigures(registry).meter("t", "m", "rest").ended("success", 0.1)
    node = NodeFigures(registry)
    model_status = ModelStatus(
        id="m", name="m", scope="shared", digest="0", state="ready", encoding="onnx", runtime="onnx"
    )
    edge = EdgeStatus(index=0, pid=1, state="serving")
    node.update([model_status], [edge], control_restarts=0, generation=1, reload_refused=False)
    plan = SimpleNamespace(title="m", scope="shared")
    for count in (node.loads.missed, node.loads.failed, node.loads.evicted):
        count(plan)  # type: ignore[arg-type] # as much of a plan as it takes
    node.loads.loaded(plan, 0.1)  # type: ignore[arg-type]
    registry.close()
    actual = {}
    for family in text_string_to_metric_families(merged(tmp_path).decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        actual[name] = {label for sample in family.samples for label in sample.labels} - {"le", "pid"}
    listed = {
        name: set(filter(None, labels.split(", ")))
        for name, labels in re.findall(r"^\| `(\w+)` \|\s?([\w, ]*?)\s?\|", PAGE, re.MULTILINE)
    }
    assert listed == actual
