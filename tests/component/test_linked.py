"""The unfused form: which modules there are, and what each of their imports is given."""

from __future__ import annotations

import msgspec

from support.components import parse
from wasmind.component.core.module import read_module
from wasmind.component.linked import Link, Linking, Stage, link
from wasmind.component.planner import plan_component

TEXT = """
(component
  (import "f" (func $f))
  (core func $low (canon lower (func $f)))
  (core module $a (func (export "a")) (memory (export "m") 1))
  (core instance $one (instantiate $a))
  (core instance $two (instantiate $a))
  (core module $b
    (import "x" "a" (func)) (import "y" "a" (func)) (import "host" "f" (func))
    (func (export "run")))
  (core instance $b (instantiate $b
    (with "x" (instance $one)) (with "y" (instance $two)) (with "host" (instance (export "f" (func $low))))))
  (func (export "run") (canon lift (core func $b "run"))))
"""


def test_modules_are_there_once_and_instances_in_order() -> None:
    modules, linking = link(plan_component(parse(TEXT)))
    assert [list(read_module(each).exports) for each in modules] == [["a", "m"], ["run"]]
    assert linking.stages == (
        Stage(0, ()),
        Stage(0, ()),
        Stage(1, (Link("x", "a", 0, "a"), Link("y", "a", 1, "a"), Link("host", "f", None, "f", ""))),
    )
    assert linking.exports == {"core:0": (2, "run"), "memory": (0, "m")}


def test_links_come_back_from_storage() -> None:
    _, linking = link(plan_component(parse(TEXT)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(linking), type=Linking) == linking
