"""Processes killed while requests come in: every request is answered, the node recovers, nothing piles up."""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from support.nodes import CONFIG, NodeProcess, children, kill, running
from support.onnx_models import FLOAT, constant, model
from support.onnx_models import node as node_of
from wasmind.node.backoff import DEATHS_TO_QUARANTINE
from wasmind.node.state import read_owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANSWER = "3 5 7 9 \n"
DIED = "compute: 5\n"
CONFIG = CONFIG.replace("workers = 1", "workers = 2")


class Load:
    """Clients that ask one path again and again over connections that they keep."""

    def __init__(self, node: NodeProcess, path: str, clients: int) -> None:
        self._where = urlsplit(node.status().functions_url).netloc
        self._path = path
        self._stopping = threading.Event()
        self.answers: Counter[str] = Counter()
        self.lost = 0
        self.refused = 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._where, timeout=30)
        while not self._stopping.is_set():
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                self.answers[response.read().decode()] += 1
            except ConnectionRefusedError:
                self.refused += 1
                return
            except (http.client.HTTPException, ConnectionError):
                self.lost += 1
                connection.close()
        connection.close()


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def again_and_again(seconds: float, action: Callable[[], None], pause: float) -> int:
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        action()
        count += 1
        time.sleep(pause)
    return count


@pytest.mark.slow
def test_models_killed_under_load_fail_only_the_calls_in_flight(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as node:
        before = descriptors(node.process.pid)
        with Load(node, "/ask/linear", 16) as load, Load(node, "/http/hello", 4) as neighbour:

            def kill_model() -> None:
                node.until(lambda: node.model().state == "ready")
                kill(node.model().pid)
                node.until(lambda: node.model().state != "ready")

            for _ in range(DEATHS_TO_QUARANTINE):
                kill_model()
            node.until(lambda: node.model().state == "quarantined")
            node.reload()
            kill_model()
            node.until(lambda: node.model().state == "ready")
            time.sleep(1)
        assert set(load.answers) <= {ANSWER, DIED, "load: 5\n"}
        assert load.answers[ANSWER] > 100
        assert load.answers[DIED] <= 16 * (DEATHS_TO_QUARANTINE + 2)
        assert (load.lost, neighbour.lost) == (0, 0)
        assert set(neighbour.answers) == {"hello\n"}
        node.until(lambda: node.api("/readyz").status == 200)
        assert node.get("/ask/linear").text == ANSWER
        assert descriptors(node.process.pid) <= before + 2


@pytest.mark.slow
def test_edge_workers_killed_under_load_lose_only_their_own_requests(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as node:
        before = descriptors(node.process.pid)
        with Load(node, "/ask/linear", 8) as load:

            def kill_edge() -> None:
                node.until(lambda: not node.status().problems)
                kill(random.choice(node.status().edges).pid)

            kills = again_and_again(15, kill_edge, 1.0)
        assert kills >= 4
        assert set(load.answers) == {ANSWER}
        assert load.lost <= 8 * kills
        assert load.refused == 0
        node.until(lambda: not node.status().problems)
        assert descriptors(node.process.pid) <= before + 2
        node.api("/metrics")  # folds the files of the dead
        assert len(os.listdir(_metrics(node))) <= 3 * 4 + 2


@pytest.mark.slow
def test_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as node:
        with Load(node, "/ask/linear", 8) as load:

            def reload() -> None:
                threads = 1 + node.status().generation % 2
                node.configure(CONFIG.replace('description = "y = 2x + 1"', f"threads = {threads}"))
                node.reload()

            reloads = again_and_again(15, reload, 0.2)
        assert reloads >= 5
        assert set(load.answers) == {ANSWER}
        assert load.lost == load.refused == 0
        node.until(lambda: len(node.status().models) == 1)
        assert len(children(node.process.pid, "wasmind.worker")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("told", [(), ("edge", "worker", "control")])
def test_a_stop_under_load_loses_no_accepted_request(tmp_path: Path, told: tuple[str, ...]) -> None:
    """Also when all processes are told at once, and the supervisor last, as systemd may do it."""
    for _ in range(5):
        with running(tmp_path, CONFIG) as node, Load(node, "/http/sleep?20", 16) as load:
            time.sleep(1)
            pid = node.process.pid
            for each in [*(child for name in told for child in children(pid, f"wasmind.{name}")), pid]:
                os.kill(each, signal.SIGTERM)
            assert node.process.wait(20) == 0
        assert set(load.answers) == {"slept\n"}
        assert load.refused == 16
        assert load.lost <= 16  # an idle connection may be closed as its client begins to write


def _metrics(node: NodeProcess) -> str:
    owner = read_owner(node.state)
    assert owner
    return f"{owner.run}/metrics"


def _times(directory: Path, factor: int) -> None:
    made = model(
        [node_of("Mul", ["x", "k"], ["y"])],
        [("x", FLOAT, [1, 4])],
        [("y", FLOAT, [1, 4])],
        [constant("k", FLOAT, [1], [factor])],
    )
    (directory / f"{factor}.onnx").write_bytes(made)


def _answer(factor: int) -> str:
    return " ".join(str(x * factor) for x in (1, 2, 3, 4)) + " \n"


@pytest.mark.slow
def test_versions_replaced_under_load_fail_nothing(tmp_path: Path) -> None:
    versions = range(1, 6)
    for factor in versions:
        _times(tmp_path, factor)
    table = '[models.linear.versions.{0}]\npath = "{0}.onnx"\n'
    plain = '[models.linear]\npath = "linear.onnx"\ndescription = "y = 2x + 1"\n'
    config = CONFIG.replace(plain, table.format(1))
    with running(tmp_path, config) as node:
        with Load(node, "/ask/linear", 8) as load:
            for factor in versions[1:]:
                node.reconfigure(table.format(factor - 1), table.format(factor))
                node.reload()
                assert node.get("/ask/linear").text == _answer(factor), "new requests get the new one"
            node.reconfigure(table.format(versions[-1]), table.format(1))
            node.reload()
            assert node.get("/ask/linear").text == _answer(1), "rolled back"
        assert set(load.answers) <= {_answer(factor) for factor in versions}
        assert load.lost == load.refused == 0
        node.until(lambda: len(node.status().models) == 1)


@pytest.mark.slow
def test_models_that_leave_under_load_fail_nothing(tmp_path: Path) -> None:
    """Three models are asked all the time, and there is room for two."""
    factors = (2, 3, 4)
    config = CONFIG.replace("workers = 2", 'workers = 2\nmodel_memory = "170MB"')
    for factor in factors:
        _times(tmp_path, factor)
        config += f'\n[models.m{factor}]\npath = "{factor}.onnx"\n'
    config = config.replace('models = ["linear"]', 'models = ["m2", "m3", "m4"]')
    with running(tmp_path, config) as node:
        with ExitStack() as stack:
            loads = [stack.enter_context(Load(node, f"/ask/m{factor}", 3)) for factor in factors]
            time.sleep(20)
        for factor, load in zip(factors, loads, strict=True):
            assert set(load.answers) == {_answer(factor)}
            assert load.lost == load.refused == 0
        figures = node.api("/metrics").text
        evictions = re.findall(r"^wasmind_model_evictions_total\S* (\S+)$", figures, re.MULTILINE)
        assert sum(map(float, evictions)) > 3
