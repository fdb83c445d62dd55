"""Nodes whose models are served to clients outside."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from support.nodes import NodeProcess, started
from support.onnx_models import linear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORTS = "ports = { functions = 0, api = 0, oip_rest = 0, oip_grpc = 0 }\nworkers = 1\ndrain_ms = 5000\n"
MODELS = """
[models.linear]
path = "linear.onnx"
labels = "labels.txt"

[models.other]
path = "linear.onnx"

[models.bosses]
path = "linear.onnx"
scope = "boss"

[inference]
request_body = "1MiB"
body_stall_ms = 500
"""
TENANTS = """
[tenants.acme]
tokens_file = "acme.tokens"
models = ["linear"]

[tenants.boss]
tokens_file = "boss.tokens"
manage = true
"""
DEV = f"[node]\ndev = true\n{PORTS}{MODELS}"
CLOSED = f"[node]\n{PORTS}{MODELS}{TENANTS}"


def write(directory: Path, config: str) -> Path:
    """A node's files. The tenants' tokens are their names with `-token`; boss has another one."""
    (directory / "wasmind.toml").write_text(config)
    (directory / "linear.onnx").write_bytes(linear())
    (directory / "labels.txt").write_text("zero\none\ntwo\nthree\n")
    for tenant, tokens in {"acme": ["acme-token"], "boss": ["boss-token", "boss-other"]}.items():
        lines = [f"{hashlib.sha256(token.encode()).hexdigest()}  -\n" for token in tokens]
        (directory / f"{tenant}.tokens").write_text("# tokens\n\n" + "".join(lines))
    return directory


@pytest.fixture(scope="session")
def dev_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node in dev mode: everybody on this machine may call."""
    with started(write(tmp_path_factory.mktemp("dev"), DEV)) as node:
        yield node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with two tenants."""
    with started(write(tmp_path_factory.mktemp("closed"), CLOSED)) as node:
        yield node
