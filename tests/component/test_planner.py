"""Plans: what the host has to do, and under which names."""

from __future__ import annotations

import pytest

from support.components import parse
from wasmind.component import plan as p
from wasmind.component.assembly import FromInstance
from wasmind.component.planner import check_component, plan_component
from wasmind.component.types import Field, FunctionType, List, Primitive, StringEncoding
from wasmind.errors import ProgramTooLarge, UnsupportedFeature

LIBC = """
  (core module $libc
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "realloc2") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $libc (instantiate $libc))
"""


def plan(text: str) -> p.Plan:
    return plan_component(parse(text)).plan


def test_lowered_imports_keep_their_options() -> None:
    found = plan(
        f"""
        (component
          (import "a:b/c@1.0.0" (instance $i
            (export "get" (func (param "key" string) (result (list u8))))
            (export "put" (func (param "n" u32)))))
          {LIBC}
          (core func $get1 (canon lower (func $i "get") (memory (core memory $libc "memory"))
            (realloc (core func $libc "realloc"))))
          (core func $get2 (canon lower (func $i "get") (memory (core memory $libc "memory"))
            (realloc (core func $libc "realloc2")) string-encoding=utf16))
          (core func $put (canon lower (func $i "put")))
          (core module $m
            (import "" "get1" (func (param i32 i32 i32)))
            (import "" "get2" (func (param i32 i32 i32)))
            (import "" "put" (func (param i32))))
          (core instance (instantiate $m (with "" (instance
            (export "get1" (func $get1)) (export "get2" (func $get2)) (export "put" (func $put)))))))"""
    )
    names = [(each.module, each.name) for each in found.imports]
    assert names == [("a:b/c@1.0.0", "get"), ("a:b/c@1.0.0", "get#1"), ("a:b/c@1.0.0", "put")]
    one, two, put = found.imports
    assert one.params == ("i32", "i32", "i32")
    assert one.results == ()
    kind = FunctionType((Field("key", Primitive.STRING),), List(Primitive.U8))
    assert one.does == p.Lower(
        "a:b/c@1.0.0", "get", kind, p.Options(0, StringEncoding.UTF8, "memory", "realloc:1")
    )
    assert isinstance(two.does, p.Lower)
    assert two.does.options == p.Options(0, StringEncoding.UTF16, "memory", "realloc:2")
    assert put.does == p.Lower("a:b/c@1.0.0", "put", FunctionType((Field("n", Primitive.U32),)), p.Options(0))


def test_lifted_exports() -> None:
    found = plan(
        f"""
        (component
          {LIBC}
          (core module $m
            (func (export "plain") (param i32) (result i32) unreachable)
            (func (export "text") (param i32 i32) (result i32) unreachable)
            (func (export "done") (param i32)))
          (core instance $m (instantiate $m))
          (func $plain (param "x" u32) (result u32) (canon lift (core func $m "plain")))
          (func $text (param "x" string) (result string) (canon lift (core func $m "text")
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))
            (post-return (core func $m "done"))))
          (instance $i (export "plain" (func $plain)) (export "text" (func $text)))
          (export "a:b/c@0.1.0" (instance $i))
          (export "plain" (func $plain)))"""
    )
    assert [(each.interface, each.name) for each in found.exports] == [
        ("a:b/c@0.1.0", "plain"),
        ("a:b/c@0.1.0", "text"),
        ("", "plain"),
    ]
    plain, text = (found.exports[0].function, found.exports[1].function)
    assert isinstance(plain, p.Lift)
    assert isinstance(text, p.Lift)
    assert (plain.entry, plain.post_return) == (None, None)
    assert text.entry is not None
    assert text.post_return is not None
    assert text.options.memory == "memory"
    does = {each.name: each.does for each in found.imports}
    assert does == {
        "entry-enter:1": p.EntryEnter(1),
        "entry-leave:1": p.EntryLeave(1),
        "entry-exit:1": p.EntryExit(1),
    }
    assert found.export("a:b/c@0.1.0", "text") is found.exports[1]
    assert found.export("a:b/c@0.1.0", "other") is None


def test_an_import_that_is_exported_again() -> None:
    found = plan('(component (import "f" (func $f (param "x" u8))) (export "g" (func $f)))')
    kind = FunctionType((Field("x", Primitive.U8),))
    assert found.exports == (p.Export("", "g", p.Forward(kind, "", "f")),)
    assert found.imports == ()


RESOURCES = """
(component
  (import "a:b/c" (instance $i (export "thing" (type (sub resource)))))
  (alias export $i "thing" (type $thing))
  (core module $d (func (export "d") (param i32)))
  (core instance $d (instantiate $d))
  (type $plain (resource (rep i32)))
  (type $own (resource (rep i32) (dtor (core func $d "d"))))
  (core func $drop1 (canon resource.drop $thing))
  (core func $drop2 (canon resource.drop $plain))
  (core func $drop3 (canon resource.drop $own))
  (core func $drop4 (canon resource.drop $own))
  (core func $new (canon resource.new $own))
  (core func $rep (canon resource.rep $own))
  (core module $m
    (import "" "1" (func (param i32))) (import "" "2" (func (param i32)))
    (import "" "3" (func (param i32))) (import "" "4" (func (param i32)))
    (import "" "new" (func (param i32) (result i32))) (import "" "rep" (func (param i32) (result i32))))
  (core instance (instantiate $m (with "" (instance
    (export "1" (func $drop1)) (export "2" (func $drop2))
    (export "3" (func $drop3)) (export "4" (func $drop4))
    (export "new" (func $new)) (export "rep" (func $rep))))))
  (export "own" (type $own)))
"""


def test_resources_and_their_built_ins() -> None:
    found = plan(RESOURCES)
    assert found.resources[0] == p.Resource("thing", "a:b/c")
    assert found.resources[1] == p.Resource("", "", 0)
    assert found.resources[2] == p.Resource("own", "", 0, "destructor:0")
    assert {each.name: each.does for each in found.imports} == {
        "resource.drop:0:0": p.ResourceDrop(0, 0),
        "resource.drop:1:0": p.ResourceDrop(1, 0),
        "drop-enter:2:0": p.DropEnter(2, 0),
        "drop-leave:2:0": p.DropLeave(2, 0),
        "resource.new:2:0": p.ResourceNew(2, 0),
        "resource.rep:2:0": p.ResourceRep(2, 0),
    }
    enter = next(each for each in found.imports if each.name == "drop-enter:2:0")
    assert (enter.params, enter.results) == (("i32",), ("i32", "i32"))


def test_nested_instances_are_inlined_with_tables_of_their_own() -> None:
    found = plan(
        """
        (component
          (component $c
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $m (import "" "new" (func (param i32) (result i32))))
            (core instance (instantiate $m (with "" (instance (export "new" (func $new)))))))
          (component $outer
            (alias outer 1 0 (component $c))
            (instance (instantiate $c)))
          (instance (instantiate $c))
          (instance (instantiate $outer)))"""
    )
    assert found.instances == (p.Instance(), p.Instance(0), p.Instance(0), p.Instance(2))
    assert [each.does for each in found.imports] == [p.ResourceNew(0, 1), p.ResourceNew(1, 3)]
    assert [each.owner for each in found.resources] == [1, 3]


def test_a_lowered_lift_is_an_adapter() -> None:
    made = plan_component(
        parse(
            """
            (component
              (component $a
                (core module $m
                  (func (export "f") (param i32) (result i32) unreachable) (memory (export "m") 1))
                (core instance $i (instantiate $m))
                (func (export "f") (param "x" u8) (result string)
                  (canon lift (core func $i "f") (memory (core memory $i "m")))))
              (instance $a (instantiate $a))
              (component $b
                (import "f" (func $f (param "x" u8) (result string)))
                (core module $libc (memory (export "m") 1)
                  (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
                (core instance $libc (instantiate $libc))
                (core func $low (canon lower (func $f) (memory (core memory $libc "m"))
                  (realloc (core func $libc "r"))))
                (core module $m (import "" "f" (func (param i32 i32))))
                (core instance (instantiate $m (with "" (instance (export "f" (func $low)))))))
              (instance (instantiate $b (with "f" (func $a "f")))))
            """
        )
    )
    (adapter,) = made.plan.adapters
    assert adapter.type == FunctionType((Field("x", Primitive.U8),), Primitive.STRING)
    assert (adapter.caller.instance, adapter.callee.instance) == (2, 1)
    assert adapter.caller.memory != adapter.callee.memory
    assert not adapter.post_return
    enter, leave = made.plan.imports
    assert (enter.params, enter.results) == (("i32", "i32"), ("i32",))
    assert (leave.params, leave.results) == (("i32", "i32"), ())
    assert made.references["memory"] in (FromInstance(0, "m"), FromInstance(1, "m"))


def test_the_memory_has_its_name_even_if_no_value_passes_through() -> None:
    made = plan_component(
        parse(
            """
            (component
              (core module $m (memory (export "x") 1) (func (export "f")))
              (core instance $i (instantiate $m))
              (func (export "f") (canon lift (core func $i "f"))))"""
        )
    )
    assert made.references == {"core:0": FromInstance(0, "f"), "memory": FromInstance(0, "x")}


def test_a_host_function_that_is_lifted_gets_an_instance_around_it() -> None:
    made = plan_component(
        parse(
            """
            (component
              (import "f" (func $f (param "x" u32) (result u32)))
              (core func $low (canon lower (func $f)))
              (func (export "g") (param "x" u32) (result u32) (canon lift (core func $low))))"""
        )
    )
    assert made.references == {"core:0": FromInstance(0, "call")}
    assert len(made.assembly.instances) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('(component (import "m" (core module)))', "the component imports a core module, 'm'"),
        ('(component (import "c" (component)))', "the component imports a component, 'c'"),
        ('(component (core module $m (tag (export "t"))) (core instance (instantiate $m)))', "exceptions"),
    ],
)
def test_what_no_host_provides_is_refused(text: str, said: str) -> None:
    check_component(parse(text))
    with pytest.raises(UnsupportedFeature) as caught:
        plan(text)
    assert said in caught.value.message


def test_the_number_of_core_instances_is_limited() -> None:
    many = "(core instance (instantiate $m))" * 1_001
    with pytest.raises(ProgramTooLarge, match="core instances"):
        plan(f"(component (core module $m) {many})")


@pytest.mark.parametrize("count", [2_000, 2_001])
def test_the_number_of_functions_is_limited(count: int) -> None:
    exports = " ".join(f'(export "f{n}" (func $f))' for n in range(count))
    text = f'(component (import "f" (func $f)) {exports})'
    if count > 2_000:
        with pytest.raises(ProgramTooLarge, match="exports 2001 functions"):
            plan(text)
    else:
        assert len(plan(text).exports) == count


def test_the_size_of_the_interfaces_is_limited() -> None:
    names = " ".join(f'"name-{n}"' for n in range(9_000))
    functions = " ".join(f'(import "f{n}" (func $f{n} (param "a" $t) (param "b" $t)))' for n in range(6))
    lowered = " ".join(f"(core func $l{n} (canon lower (func $f{n})))" for n in range(6))
    with pytest.raises(ProgramTooLarge, match="interfaces take"):
        plan(f'(component (type $e (enum {names})) (import "e" (type $t (eq $e))) {functions} {lowered})')
