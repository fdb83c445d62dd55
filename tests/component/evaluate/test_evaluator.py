"""Components that are valid, and those that are not, each with its reason and place."""

from __future__ import annotations

import pytest

from support.components import parse
from wasmind.component.planner import check_component
from wasmind.errors import InvalidProgram, ProgramTooLarge, UnsupportedFeature

VALID = {
    "aliases of exports, modules and types": """
        (component
          (core module $m
            (func (export "f")) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 1)))
          (core instance $i (instantiate $m))
          (alias core export $i "f" (core func $f))
          (alias core export $i "t" (core table $t))
          (alias core export $i "g" (core global $g))
          (core instance (export "f" (func $f)) (export "t" (table $t)) (export "g" (global $g))))""",
    "an instance that exports more than is asked for": """
        (component
          (import "i" (instance $i (export "a" (func)) (export "b" (func))))
          (component $c (import "i" (instance (export "a" (func)))))
          (instance (instantiate $c (with "i" (instance $i)))))""",
    "a component given for one that is imported": """
        (component
          (component $c
            (import "x" (component $x (import "f" (func)) (export "g" (func))))
            (import "f" (func $f))
            (instance $made (instantiate $x (with "f" (func $f))))
            (export "g" (func $made "g")))
          (component $given (import "f" (func $f)) (export "g" (func $f)))
          (import "f" (func $f))
          (instance (instantiate $c (with "x" (component $given)) (with "f" (func $f)))))""",
    "a module given for one that imports more and exports less": """
        (component
          (core module $m (func (export "f")) (func (export "g")))
          (component $c
            (import "m" (core module $x (import "a" "b" (func)) (export "f" (func)))))
          (instance (instantiate $c (with "m" (core module $m)))))""",
    "resource types passed in and given back": """
        (component
          (type $R (resource (rep i32)))
          (component $c
            (import "r" (type $r (sub resource)))
            (import "f" (func $f (param "x" (own $r))))
            (export $out "out" (type $r))
            (export "g" (func $f) (func (param "x" (own $out)))))
          (core module $m (func (export "f") (param i32)))
          (core instance $i (instantiate $m))
          (func $f (param "x" (own $R)) (canon lift (core func $i "f")))
          (instance $made (instantiate $c (with "r" (type $R)) (with "f" (func $f))))
          (alias export $made "out" (type $same))
          (component $eq (import "a" (type $a (sub resource))) (import "b" (type (eq $a))))
          (instance (instantiate $eq (with "a" (type $R)) (with "b" (type $same)))))""",
    "an outer alias of a plain type, a module and a component": """
        (component $C
          (core module $M)
          (component $D)
          (type $T (record (field "x" u32)))
          (component
            (alias outer $C $T (type $t))
            (alias outer $C $M (core module $m))
            (alias outer $C $D (component $d))
            (core instance (instantiate $m))
            (instance (instantiate $d))))""",
    "a module type with an outer alias": """
        (component $C
          (core type $f (func (param i32)))
          (core type $m (module (alias outer $C $f (type $x)) (import "a" "b" (func (type $x)))))
          (import "m" (core module (type $m))))""",
}

INVALID = {
    "an index that is not there": (
        '(component (alias core export 0 "f" (core func)))',
        "there is no core instance 0",
    ),
    "an export that is not there": (
        """(component
             (core module $m) (core instance $i (instantiate $m)) (alias core export $i "f" (core func)))""",
        "exports no 'f'",
    ),
    "an export of another sort": (
        '(component (import "i" (instance $i (export "f" (func)))) (alias export $i "f" (instance)))',
        "no instance",
    ),
    "a core import that is not given": (
        '(component (core module $m (import "a" "b" (func))) (core instance (instantiate $m)))',
        "imports 'b' of 'a', which is not given",
    ),
    "a core import given as another type": (
        """(component
             (core module $m (import "a" "b" (func (param i32))))
             (core module $n (func (export "b")))
             (core instance $n (instantiate $n))
             (core instance (instantiate $m (with "a" (instance $n)))))""",
        "as another type",
    ),
    "a core import given twice": (
        """(component
             (core module $m)
             (core instance $m (instantiate $m))
             (core instance (instantiate $m (with "a" (instance $m)) (with "a" (instance $m)))))""",
        "is there twice",
    ),
    "an import that is not given": (
        '(component (component $c (import "f" (func))) (instance (instantiate $c)))',
        "the import 'f' is missing",
    ),
    "an import given as another sort": (
        """(component
             (component $c (import "f" (func)))
             (component $d)
             (instance (instantiate $c (with "f" (component $d)))))""",
        "'f' is a component, a func is expected",
    ),
    "a function of another type": (
        """(component
             (import "f" (func $f (param "x" u32)))
             (component $c (import "f" (func (param "y" u32))))
             (instance (instantiate $c (with "f" (func $f)))))""",
        "another type than is expected",
    ),
    "names that clash": ('(component (import "a" (func)) (import "A" (func)))', "conflicts with another"),
    "a method without its resource": (
        '(component (import "[method]r.m" (func)))',
        "names no resource that stands before it",
    ),
    "a method whose first parameter is another": (
        """(component
             (import "r" (type $r (sub resource))) (import "[method]r.m" (func (param "x" (borrow $r)))))""",
        "is not a borrowed `self`",
    ),
    "a constructor that returns something else": (
        '(component (import "r" (type (sub resource))) (import "[constructor]r" (func (result u32))))',
        "does not return its resource",
    ),
    "a static member that is no function": (
        '(component (import "r" (type (sub resource))) (import "[static]r.m" (instance)))',
        "is no function",
    ),
    "a lift of a function of another type": (
        """(component
             (core module $m (func (export "f")))
             (core instance $i (instantiate $m))
             (func (param "x" u32) (canon lift (core func $i "f"))))""",
        "the lifted function has another type",
    ),
    "a lift without the memory it needs": (
        """(component
             (core module $m (func (export "f") (param i32 i32)))
             (core instance $i (instantiate $m))
             (func (param "x" string) (canon lift (core func $i "f"))))""",
        "the canonical option `memory` is required",
    ),
    "a lift without the realloc it needs": (
        """(component
             (core module $m (func (export "f") (param i32 i32)) (memory (export "m") 1))
             (core instance $i (instantiate $m))
             (func (param "x" string) (canon lift (core func $i "f") (memory (core memory $i "m")))))""",
        "the canonical option `realloc` is required",
    ),
    "a realloc of another type": (
        """(component
             (core module $m (func (export "f")) (memory (export "m") 1))
             (core instance $i (instantiate $m))
             (func
               (canon lift (core func $i "f")
                 (memory (core memory $i "m")) (realloc (core func $i "f")))))""",
        "realloc has another type",
    ),
    "a lower with a post-return": (
        """(component
             (import "f" (func $f))
             (core module $m (func (export "f")))
             (core instance $i (instantiate $m))
             (core func (canon lower (func $f) (post-return (core func $i "f")))))""",
        "post-return",
    ),
    "a representation of somebody else's resource": (
        '(component (import "r" (type $r (sub resource))) (core func (canon resource.rep $r)))',
        "of another component",
    ),
    "a destructor of another type": (
        """(component
             (core module $m (func (export "f")))
             (core instance $i (instantiate $m))
             (type (resource (rep i32) (dtor (core func $i "f")))))""",
        "destructor has another type",
    ),
    "a resource defined within a type": (
        "(component (type (component (type (resource (rep i32))))))",
        "defined within a type",
    ),
    "a resource aliased across a component": (
        "(component $C (type $R (resource (rep i32))) (component (alias outer $C $R (type))))",
        "across a component's border",
    ),
    "an alias from outside of everything": (
        "(component (alias outer 100 0 (component)))",
        "levels around",
    ),
    "a function exported with a nameless record": (
        """(component
             (core module $m (func (export "f") (param i32)))
             (core instance $i (instantiate $m))
             (type $t (record (field "x" u32)))
             (func $f (param "x" $t) (canon lift (core func $i "f")))
             (export "f" (func $f)))""",
        "uses a type that has no name outside",
    ),
    "a module that imports a name twice": (
        '(component (core module (import "a" "b" (func)) (import "a" "b" (func))))',
        "imports 'b' of 'a' twice",
    ),
    "something of a core instance in a bundle of components": (
        '(component (core module $m) (instance (export "a" (core module $m)) (export "A" (core module $m))))',
        "conflicts",
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    check_component(parse(VALID[name]))


def binary(text: str) -> bytes:
    try:
        return parse(text)
    except AssertionError as error:
        pytest.fail(f"the text is wrong: {error}")


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    text, said = INVALID[name]
    with pytest.raises(InvalidProgram) as caught:
        check_component(binary(text))
    assert said in caught.value.message
    assert "at byte" in caught.value.message


def test_the_place_is_that_of_the_innermost_definition() -> None:
    text = '(component (type u8) (component (type u8) (import "a" (func)) (import "A" (func))))'
    with pytest.raises(InvalidProgram) as caught:
        check_component(parse(text))
    data = parse(text)
    at = int(caught.value.message.rpartition("byte ")[2].rstrip(")"))
    assert data[at : at + 3] == b"\x00\x01A"


def test_memories_of_64_bits_are_refused() -> None:
    text = """
        (component
          (core module $m (func (export "f") (param i64 i64)) (memory (export "m") i64 1)
            (func (export "r") (param i64 i64 i64 i64) (result i64) unreachable))
          (core instance $i (instantiate $m))
          (func (param "x" string)
            (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r")))))"""
    with pytest.raises(UnsupportedFeature, match="64-bit memory"):
        check_component(parse(text))


def doubling(levels: int) -> str:
    """A component whose instances double at each level."""
    inner = "(component $c0 (type u8))"
    for level in range(1, levels):
        inner += f"(component $c{level}"
        inner += f" (instance (instantiate $c{level - 1})) (instance (instantiate $c{level - 1})))"
    return f"(component {inner} (instance (instantiate $c{levels - 1})))"


def test_instances_that_double_at_each_level_end_early() -> None:
    check_component(parse(doubling(10)))
    with pytest.raises(ProgramTooLarge, match="too many instances"):
        check_component(parse(doubling(40)))


def test_instances_that_make_instances_may_only_nest_so_deep() -> None:
    chain = "(component $c0)"
    for level in range(1, 80):
        chain += f"(component $c{level} (instance (instantiate $c{level - 1})))"
    with pytest.raises(ProgramTooLarge, match="nest deeper"):
        check_component(parse(f"(component {chain})"))
