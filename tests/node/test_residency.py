"""Models within a budget: who loads when, and who leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wasmind.errors import ModelLoadFailed
from wasmind.node.figures import LoadFigures
from wasmind.node.residency import BASE, Residency
from wasmind.telemetry.metrics import Registry, merged

if TYPE_CHECKING:
    from pathlib import Path


class Plan:
    scope = "shared"

    def __init__(self, name: str, size: int) -> None:
        self.id = self.title = name
        self.size = size


class Model:
    """A model that comes into memory by `load` and takes 100 bytes there beside what it announced."""

    def __init__(self, name: str, residency: Residency, used: float = 0.0, *, pin: bool = False) -> None:
        self.plan = Plan(name, 100 - BASE)
        self.residency = residency
        self.used = used
        self.pin = pin
        self.here = False
        self.memory = 100

    @property
    def can_leave(self) -> bool:
        return self.here and not self.pin

    async def load(self, tenant: str | None = None) -> None:
        async with self.residency.turn(self, tenant):  # type: ignore[arg-type] # as much of a model as it needs
            await asyncio.sleep(0)
        self.here = True
        self.residency.measured(self, self.memory)  # type: ignore[arg-type]

    async def unload(self, reason: str) -> None:
        assert "room" in reason
        await asyncio.sleep(0)
        self.here = False
        self.residency.left(self)  # type: ignore[arg-type]


def models(residency: Residency, names: str) -> list[Model]:
    return [Model(name, residency, used) for used, name in enumerate(names)]


def here(some: list[Model]) -> str:
    return "".join(model.plan.id for model in some if model.here)


async def test_without_a_budget_all_stay() -> None:
    residency = Residency()
    some = models(residency, "abcdef")
    await asyncio.gather(*(model.load() for model in some))
    assert here(some) == "abcdef"
    assert residency.used == 600


async def test_the_least_recently_used_leaves() -> None:
    residency = Residency(300)
    some = models(residency, "abcd")
    for model in some[:3]:
        await model.load("t")
    some[0].used = 10
    await some[3].load("t")
    assert here(some) == "acd"
    assert residency.used == 300


async def test_a_pinned_model_never_leaves() -> None:
    residency = Residency(200)
    some = models(residency, "abc")
    some[0].pin = True
    for model in some:
        await model.load()
    assert here(some) == "ac"
    some[2].pin = True
    with pytest.raises(ModelLoadFailed, match="no room for the model 'b'") as refused:
        await some[1].load()
    assert "pin fewer models" in (refused.value.remedy or "")
    assert here(some) == "ac"


async def test_what_was_measured_counts_and_is_remembered() -> None:
    residency = Residency(300)
    some = models(residency, "abc")
    some[2].memory = 250
    for model in some:
        await model.load("t")
    async with asyncio.timeout(5):
        while residency.used > 300:
            await asyncio.sleep(0.01)
    assert here(some) == "c"
    await some[0].load("t")
    assert here(some) == "a", "it is known now that they do not fit together"


async def test_who_holds_more_than_a_share_makes_room_from_it() -> None:
    residency = Residency(400)
    hot, *cold = models(residency, "habcdef")
    await hot.load("quiet")
    for model in cold:
        await model.load("greedy")
        assert hot.here, "though it is the least recently used"
    assert here(cold) == "def"
    other = Model("o", residency, 99)
    await other.load("quiet")
    assert hot.here
    assert here(cold) == "ef", "who comes late gets a share from who has too much"


async def test_a_tenant_loads_one_at_a_time_and_the_operator_is_not_held_up() -> None:
    residency = Residency()
    running, most = 0, 0

    async def load(name: str) -> None:
        nonlocal running, most
        async with residency.turn(Model(name, residency), "t"):  # type: ignore[arg-type]
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    loading = asyncio.gather(*(load(name) for name in "abcde"))
    await asyncio.sleep(0)
    async with asyncio.timeout(0.03):
        await Model("restart", residency).load(None)
    await loading
    assert most == 1


async def test_a_load_that_fails_gives_its_room_back_and_is_counted(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    residency = Residency(100, LoadFigures(registry))
    model = Model("a", residency)
    with pytest.raises(ModelLoadFailed):
        async with residency.turn(model, "t"):  # type: ignore[arg-type]
            raise ModelLoadFailed("it is damaged")
    assert residency.used == 0
    await model.load("t")
    await Model("b", residency).load("t")
    registry.close()
    found = {
        (sample.name, sample.labels.get("model")): sample.value
        for family in text_string_to_metric_families(merged(tmp_path).decode())
        for sample in family.samples
    }
    assert found["wasmind_model_load_failures_total", "a"] == 1
    assert found["wasmind_model_evictions_total", "a"] == 1
    assert found["wasmind_model_load_duration_seconds_count", "b"] == 1


async def test_who_gives_up_while_room_is_made_leaves_nothing_half_done() -> None:
    residency = Residency(100)
    first, second = models(residency, "ab")
    await first.load("t")
    loading = asyncio.create_task(second.load("t"))
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await asyncio.sleep(0.01)
    await second.load("t")
    assert (first.here, second.here, residency.used) == (False, True, 100)
