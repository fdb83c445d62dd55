from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from support.edges import function, snapshot
from wasmind.edge.deployment import Deployment
from wasmind.errors import MethodNotAllowed, ProgramError
from wasmind.models.loads import Loads
from wasmind.models.node import NodeModels
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasmind.edge.functions import Function
    from wasmind.node.messages import FunctionEntry, Snapshot
    from wasmind.sandbox import Engine


class Node:
    """A deployment, and the generations it has released."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        figures = EdgeFigures(Registry(directory))
        models = NodeModels(Loads(directory, lambda _: None, figures), figures)
        self.released: list[int] = []
        self.deployment = Deployment(engine, models, figures, self.released.append)

    async def apply(self, *functions: FunctionEntry, generation: int = 1) -> None:
        await self.deployment.apply(snapshot(*functions, generation=generation))

    def find(self, path: str) -> Function:
        found = self.deployment.router.find(b"h", path)
        assert found is not None
        return found.target


@pytest.fixture
def node(engine: Engine, tmp_path: Path) -> Iterator[Node]:
    node = Node(engine, tmp_path)
    yield node
    node.deployment.close()


def hello(name: str = "f", **settings: Any) -> FunctionEntry:
    return function(name, "hello.wat", **settings)


async def test_functions_are_routed(node: Node) -> None:
    await node.apply(hello("a"), hello("b", routes=("/b", "/c/*")))
    assert node.find("/a/x").name == "a"
    assert node.find("/b").name == node.find("/c/d").name == "b"
    assert node.deployment.router.find(b"h", "/d") is None
    assert node.deployment.generation == 1


async def test_one_program_is_loaded_once_for_all_its_functions(node: Node) -> None:
    await node.apply(hello("a"), hello("b"))
    assert node.find("/a/").program is node.find("/b/").program


async def test_what_did_not_change_stays_the_same(node: Node) -> None:
    await node.apply(hello("a"), hello("b"))
    a, b = node.find("/a/"), node.find("/b/")
    await node.apply(hello("a"), hello("b", env={"X": "1"}), generation=2)
    assert node.find("/a/") is a
    assert node.find("/b/") is not b
    assert node.find("/b/").program is b.program
    assert node.find("/b/").account is b.account, "its figures and its count go on"
    assert node.released == [1]


async def test_a_program_is_freed_with_its_last_request(node: Node) -> None:
    await node.apply(hello("a"))
    old = node.find("/a/")
    old.running = 2
    await node.apply(function("a", "http.c"), generation=2)
    assert node.released == []
    assert old.program.pointers
    for left in (1, 0):
        assert old.program.pointers
        old.running = left
        node.deployment.left(old)
    assert not old.program.pointers
    assert node.released == [1]
    assert node.find("/a/").program.pointers


async def test_what_is_ready_goes_with_its_function(node: Node, engine: Engine) -> None:
    await node.apply(hello("a"), hello("b"))
    a, b = node.find("/a/"), node.find("/b/")
    a.spare.fill()
    b.spare.fill()
    assert engine.spares == 2
    await node.apply(hello("a", env={"X": "1"}), hello("b"), generation=2)
    assert engine.spares == 1
    node.deployment.expire()
    assert engine.spares == 0, "nobody has asked for it"
    b.spare.fill()
    node.deployment.close()
    assert engine.spares == 0


async def test_generations_are_released_in_order(node: Node) -> None:
    await node.apply(hello("a"))
    first = node.find("/a/")
    first.running = 1
    await node.apply(hello("a", env={"X": "2"}), generation=2)
    second = node.find("/a/")
    second.running = 1
    await node.apply(hello("a", env={"X": "3"}), generation=3)
    second.running = 0
    node.deployment.left(second)
    assert node.released == [], "the first still runs"
    first.running = 0
    node.deployment.left(first)
    assert node.released == [2]


async def test_a_removed_function_ends_with_its_last_request(node: Node) -> None:
    await node.apply(hello("a"), hello("b"))
    a = node.find("/a/")
    await node.apply(hello("b"), generation=2)
    assert node.deployment.router.find(b"h", "/a/") is None
    assert node.released == [1]
    node.deployment.left(a)
    assert node.released == [1]


async def test_tenants_may_use_one_name(node: Node) -> None:
    await node.apply(hello("a"), hello("a", tenant="other", routes=("/other",)))
    assert node.find("/a/").account is not node.find("/other").account


async def test_limits_follow_the_newest_snapshot(node: Node) -> None:
    entry = hello("a")
    await node.apply(entry)
    limits = msgspec.structs.replace(entry.limits, concurrency=3)
    await node.apply(hello("a", limits=limits), generation=2)
    assert node.find("/a/").account.slots.limit == 3


@pytest.mark.parametrize("artifact", ["missing-0123456789abcdef.cwasm", "nonsense"])
async def test_a_missing_artifact_changes_nothing(node: Node, tmp_path: Path, artifact: str) -> None:
    await node.apply(hello("a"))
    broken = msgspec.structs.replace(hello("b"), artifact=str(tmp_path / artifact))
    with pytest.raises(ProgramError, match="missing or damaged"):
        await node.apply(hello("a", env={"X": "1"}), broken, generation=2)
    assert node.deployment.generation == 1
    assert node.find("/a/").entry.env == {}
    assert node.find("/a/").program.pointers


async def test_a_damaged_artifact_is_not_mapped(node: Node, tmp_path: Path) -> None:
    entry = hello("a")
    code = tmp_path / entry.artifact.rpartition("/")[2]
    with open(entry.artifact, "rb") as source:
        data = bytearray(source.read())
    data[len(data) // 2] ^= 1
    code.write_bytes(data)
    record = code.name.rpartition("-")[0] + ".json"
    with open(f"{entry.artifact.rpartition('/')[0]}/{record}", "rb") as source:
        (tmp_path / record).write_bytes(source.read())
    with pytest.raises(ProgramError, match="missing or damaged"):
        await node.apply(msgspec.structs.replace(entry, artifact=str(code)))


async def test_methods(node: Node) -> None:
    await node.apply(hello("a", methods=("POST", "GET")), hello("b"))
    node.find("/b/").check_method("ANY")
    node.find("/a/").check_method("GET")
    with pytest.raises(MethodNotAllowed) as refused:
        node.find("/a/").check_method("PUT")
    assert refused.value.allowed == "GET, POST"


async def test_snapshots_that_come_at_once_are_applied_one_after_the_other(node: Node) -> None:
    def at(generation: int) -> Snapshot:
        return snapshot(hello("a", env={"X": str(generation)}), generation=generation)

    apply: Callable[[Snapshot], Any] = node.deployment.apply
    await asyncio.gather(*(apply(at(generation)) for generation in (1, 2, 3)))
    assert node.deployment.generation == 3
    assert node.find("/a/").entry.env == {"X": "3"}
