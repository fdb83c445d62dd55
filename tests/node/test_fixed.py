"""What takes a restart: settings of the node, and more stack than it runs with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from wasmind.config import Config, Inference, Node
from wasmind.errors import ConfigError
from wasmind.node.fixed import fixed_settings, with_running_stack
from wasmind.node.plan import Plan

if TYPE_CHECKING:
    pass


def with_stack(plan: Plan, stack: int) -> Plan:
    return msgspec.structs.replace(plan, node=msgspec.structs.replace(plan.node, stack=stack))


def test_settings_that_a_running_node_cannot_change_are_named() -> None:
    before = Config(node=Node(workers=1))
    after = Config(node=Node(workers=2, concurrency=7), inference=Inference(workers=2))
    assert fixed_settings(before, before) == []
    assert fixed_settings(before, after) == ["workers", "inference.workers"]


def test_the_running_stack_stays(plan: Plan) -> None:
    assert with_running_stack(with_stack(plan, 1 << 20), with_stack(plan, 2 << 20)).node.stack == 2 << 20


def test_more_stack_than_the_node_runs_with_is_refused(plan: Plan) -> None:
    with pytest.raises(ConfigError, match="2097152 bytes of stack"):
        with_running_stack(with_stack(plan, 2 << 20), with_stack(plan, 1 << 20))
