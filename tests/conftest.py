"""Fixtures that several rooms' tests use."""

from __future__ import annotations

import asyncio
import compileall
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
import uvloop
from hypothesis import settings

from wasmind.errors import WasmindError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from support.nodes import NodeProcess
    from wasmind.sandbox import Engine, Program


settings.register_profile("thorough", max_examples=100, deadline=None)  # a busy machine is no failure
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=30)
settings.load_profile("quick")  # `make slow` runs these tests with the other one

# What is started in a shell's background ignores SIGINT, and so would every process that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of processes, and each would compile what it imports, were bytecode not kept.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


ON_ASYNCIO = ("catalog", "cli", "node", "worker")
"""The rooms of the supervisor and of commands. What serves runs on uvloop, which is not the same in all."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that a room's tests run on, as the room does."""
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    return {"asyncio": asyncio.new_event_loop} if room in ON_ASYNCIO else {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """Compile the sources once, in the first process: confined ones could not keep what they compile."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parents[1] / "src" / "wasmind", quiet=2)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among thousands of tests: all of them are kept."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    """Show what an error of ours explains, not its message alone."""
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, WasmindError):
        error.add_note(error.explain())
    return (yield)


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A test that sets up logging leaves its descriptor, which it closes, to nobody."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this process."""
    from wasmind.sandbox import Engine

    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def program(engine: Engine) -> Callable[[str], Program]:
    """Load a guest of tests/guests by its file, or a `door` by its module; each is compiled once."""
    from support.guests import build, door, load
    from wasmind.guest_api.command import INTERFACES

    doors = {interface.module: interface for interface in INTERFACES}

    loaded: dict[str, Program] = {}

    def of(name: str) -> Program:
        if name not in loaded:
            loaded[name] = load(engine, door(doors[name]) if name in doors else build(name))
        return loaded[name]

    return of


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that tests share."""
    from support.nodes import running

    with running(tmp_path_factory.mktemp("node")) as started:
        yield started


@pytest.fixture
def node(shared_node: NodeProcess) -> Iterator[NodeProcess]:
    """The shared node, with its own configuration in force again afterwards."""
    from support.nodes import CONFIG

    before = shared_node.status().generation
    yield shared_node
    shared_node.configure(CONFIG)
    if shared_node.status().generation != before:
        shared_node.reload()
