"""Row 27: a tenant that cycles through more models than are kept is held to a budget; others go on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from support.nodes import CONFIG, running
from support.onnx_models import FLOAT, constant, model, node
from wasmind.node.uploads import LOADS_AT_ONCE, MODELS_PER_TENANT

if TYPE_CHECKING:
    from pathlib import Path


def times(factor: int) -> bytes:
    """y = x * factor for f32 [1,4]."""
    return model(
        [node("Mul", ["x", "factor"], ["y"])],
        [("x", FLOAT, [1, 4])],
        [("y", FLOAT, [1, 4])],
        [constant("factor", FLOAT, [1], [factor])],
    )


@pytest.mark.slow
def test_cycling_through_models_is_bounded_and_the_hot_model_answers(tmp_path: Path) -> None:
    with running(tmp_path) as target:
        done = threading.Event()
        answers: dict[str, int] = {}

        def cycle() -> None:
            for factor in range(MODELS_PER_TENANT + 8):
                said = target.get("/ask/x", method="POST", body=times(factor)).text
                answers[said] = answers.get(said, 0) + 1
            done.set()

        attack = threading.Thread(target=cycle)
        attack.start()
        waits = []
        while not done.is_set():
            began = time.perf_counter()
            assert target.get("/ask/linear").text == "3 5 7 9 \n"
            waits.append(time.perf_counter() - began)
        attack.join()
        assert answers["load: 4\n"] >= 4, "over the budget it is told that the node is busy"
        assert sum(count for said, count in answers.items() if not said.startswith("load")) >= LOADS_AT_ONCE
        models = target.status().models
        assert len(models) <= MODELS_PER_TENANT + 1
        assert sorted(waits)[int(len(waits) * 0.99)] < 0.5
        assert target.get("/ask/x", method="POST", body=times(1)).text.startswith(("1 2 3 4", "load: 4"))


TENANTS = """
[functions.quiet]
module = "ask.wasm"
route = "/quiet/*"
models = ["linear"]
tenant = "quiet"
limits = { cpu_ms = 1000 }
"""


@pytest.mark.slow
def test_a_tenant_that_cycles_through_named_models_evicts_only_its_own(tmp_path: Path) -> None:
    factors = range(1, 7)
    config = CONFIG.replace("workers = 1", 'workers = 1\nmodel_memory = "290MB"') + TENANTS
    for factor in factors:
        (tmp_path / f"{factor}.onnx").write_bytes(times(factor))
        config += f'\n[models.m{factor}]\npath = "{factor}.onnx"\n'
    names = ", ".join(f'"m{factor}"' for factor in factors)
    with running(
        tmp_path, config.replace('models = ["linear"]\nallow_load', f"models = [{names}]\nallow_load")
    ) as target:
        assert target.get("/quiet/linear").text == "3 5 7 9 \n"
        hot = target.model().pid
        done = threading.Event()
        wrong: list[str] = []

        def cycle() -> None:
            for _ in range(2):
                for factor in factors:
                    said = target.get(f"/ask/m{factor}").text
                    if said != " ".join(str(x * factor) for x in (1, 2, 3, 4)) + " \n":
                        wrong.append(said)
            done.set()

        attack = threading.Thread(target=cycle)
        attack.start()
        waits = []
        while not done.is_set():
            began = time.perf_counter()
            assert target.get("/quiet/linear").text == "3 5 7 9 \n"
            waits.append(time.perf_counter() - began)
        attack.join()
        assert wrong == []
        assert target.model().pid == hot, "the hot model never left"
        assert sorted(waits)[int(len(waits) * 0.99)] < 0.5
        figures = target.api("/metrics").text
        assert 'wasmind_model_evictions_total{model="m' in figures
        assert 'wasmind_model_evictions_total{model="linear"' not in figures
