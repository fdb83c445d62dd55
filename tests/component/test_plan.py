"""Plans as stored."""

from __future__ import annotations

import msgspec

from support.components import parse
from support.wast import SCRIPTS
from wasmind.component import plan as p
from wasmind.component.planner import plan_component

TEXT = """
(component
  (import "a:b/c@1.0.0" (instance $i
    (export "r" (type $r (sub resource))) (export "f" (func (param "x" (own $r))))))
  (alias export $i "r" (type $r))
  (core func $f (canon lower (func $i "f")))
  (core func $drop (canon resource.drop $r))
  (core module $m (import "" "f" (func $f (param i32))) (import "" "d" (func (param i32)))
    (func (export "g") (param i32) (call $f (local.get 0))))
  (core instance $m (instantiate $m (with "" (instance (export "f" (func $f)) (export "d" (func $drop))))))
  (func (export "g") (param "x" (own $r)) (canon lift (core func $m "g"))))
"""


def test_plans_come_back_from_storage() -> None:
    plan = plan_component(parse(TEXT)).plan
    assert plan.imports
    assert plan.exports
    assert plan.resources
    assert p.decode(p.encode(plan)) == plan


def test_plans_of_another_format_are_not_read() -> None:
    plan = plan_component(parse(TEXT)).plan
    assert p.decode(p.encode(msgspec.structs.replace(plan, format=p.FORMAT + 1))) is None
    assert p.decode(b"\x81\xa1a\x01") is None
    assert p.decode(b"") is None


def test_the_scripts_are_there() -> None:
    assert len(list(SCRIPTS.glob("*/**/*.wast"))) > 50
