"""Runs the Component Model's scripts (`.wast`), command by command."""

from __future__ import annotations

import json
import math
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from struct import pack, unpack
from typing import TYPE_CHECKING, Any

from support.components import CACHE, LIMITS, Instance, built, tool
from wasmind.component.abi.values import Err, Ok, Some
from wasmind.component.binary.reader import is_component
from wasmind.component.component import Component
from wasmind.component.interface import WitInterface
from wasmind.component.types import (
    Borrow,
    FunctionType,
    List,
    Option,
    Own,
    Primitive,
    Record,
    Tuple,
    ValueType,
)
from wasmind.errors import GuestError, ProgramError, UnknownImport, UnsupportedFeature

if TYPE_CHECKING:
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine

SCRIPTS = Path(__file__).parents[1] / "data" / "wast"


@dataclass(frozen=True)
class Outcome:
    """What became of a command: `verdict` is passed, failed or not applicable."""

    line: int
    command: str
    verdict: str
    reason: str = ""


PASSED, FAILED, ELSEWHERE = "passed", "failed", "not applicable"


@cache
def translate(script: Path) -> tuple[Path, tuple[dict[str, Any], ...]]:
    """A script's commands, and where its components lie. Raises ValueError if it cannot be read."""
    directory = CACHE.parent / "wast" / f"{script.parent.parent.name}-{script.parent.name}-{script.stem}"
    directory.mkdir(parents=True, exist_ok=True)
    out = directory / "script.json"
    done = subprocess.run(
        [tool("wasm-tools"), "json-from-wast", str(script), "-o", str(out), "--wasm-dir", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WAST_STRICT_COMPONENT_INDICES": "0"},
    )
    if done.returncode:
        raise ValueError(done.stderr.strip().partition("\n")[0])
    return directory, tuple(json.loads(out.read_text())["commands"])


# --- the host that Wasmtime's scripts are run with ------------------------------------------------------


def host() -> tuple[WitInterface, ...]:
    """The functions and resources of Wasmtime's own test host, without core modules."""
    state = {"drops": 0, "last": 0}
    root, interface, nested = WitInterface(""), WitInterface("host"), WitInterface("host/nested")
    u32 = Primitive.U32

    def dropped(_: Any, rep: int) -> None:
        state["drops"] += 1
        state["last"] = rep

    one = interface.resource("resource1", dropped)
    interface.resource("resource2", lambda *_: None)
    root.function("host-return-two", {}, u32)(lambda _: 2)
    interface.function("return-three", {}, u32)(lambda _: 3)
    interface.function("return-hi", {}, Primitive.STRING)(lambda _: "hi")
    nested.function("return-four", {}, u32)(lambda _: 4)
    interface.constructor(one, {"r": u32})(lambda _, rep: rep)
    interface.static(one, "last-drop", {}, u32)(lambda _: state["last"])
    interface.static(one, "drops", {}, u32)(lambda _: state["drops"])

    def simple(_: Any, own: int, rep: int) -> None:
        assert own == rep

    interface.static(one, "assert", {"r": Own(one), "rep": u32})(simple)
    interface.method(one, "simple", {"rep": u32})(simple)
    interface.method(one, "take-borrow", {"b": Borrow(one)})(lambda *_: None)
    interface.method(one, "take-own", {"b": Own(one)})(lambda *_: None)
    return root, interface, nested


# --- values -----------------------------------------------------------------------------------------------


def value(said: dict[str, Any], kind: ValueType) -> Any:
    """A script's value as the Python value of a component type."""
    inner = said.get("value")
    match said["type"]:
        case "bool" | "string" | "char" | "enum":
            return inner
        case "f32":
            return math.nan if "nan" in inner else unpack("<f", pack("<I", int(inner)))[0]
        case "f64":
            return math.nan if "nan" in inner else unpack("<d", pack("<Q", int(inner)))[0]
        case "list":
            assert isinstance(kind, List)
            items = [value(each, kind.element) for each in inner]
            return bytes(items) if kind.element is Primitive.U8 else items
        case "tuple":
            assert isinstance(kind, Tuple)
            return tuple(value(each, part) for each, part in zip(inner, kind.elements, strict=True))
        case "record":
            assert isinstance(kind, Record)
            return tuple(value(each, f.type) for (_, each), f in zip(inner, kind.fields, strict=True))
        case "flags":
            return frozenset(inner)
        case "option":
            return _option(inner, kind)
        case "variant":
            return _variant(inner, kind)
        case "result":
            return _result(inner, kind)
    return int(inner)


def _option(inner: Any, kind: ValueType) -> Any:
    assert isinstance(kind, Option)
    if inner is None:
        return None
    found = value(inner, kind.some)
    return Some(found) if isinstance(kind.some, Option) else found


def _variant(inner: Any, kind: Any) -> Any:
    case = next(each for each in kind.cases if each.name == inner["case"])
    return case.name if case.type is None else (case.name, value(inner["payload"], case.type))


def _result(inner: Any, kind: Any) -> Any:
    (way, payload), *_ = inner.items()
    part = kind.ok if way == "Ok" else kind.error
    found = None if part is None or payload is None else value(payload, part)
    return Ok(found) if way == "Ok" else Err(found)


def function_type(component: Component, name: str) -> FunctionType:
    """The type of an export."""
    plan = component.binding._plan
    return next(each.function.type for each in plan.exports if each.name == name)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; a list of bytes may be either."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(other):
        return math.isnan(one)
    return bool(one == other)


# --- commands ---------------------------------------------------------------------------------------------


class Runner:
    """Runs one script. A component's trap ends it; what is asked of it afterwards is not applicable."""

    def __init__(self, engine: Engine, script: Path, form: Form | None = None) -> None:
        self.engine = engine
        self.script = script
        self.form = form
        self.offered = host()
        self.definitions: dict[str | None, bytes] = {}
        self.instances: dict[str | None, Instance | Outcome] = {}
        self.opened: list[Instance] = []

    async def run(self) -> list[Outcome]:
        """All commands, in order."""
        try:
            directory, commands = translate(self.script)
        except ValueError as error:
            return [Outcome(0, "script", ELSEWHERE, f"wasm-tools: {error}")]
        self.directory = directory
        try:
            outcomes = [await self.command(command) for command in commands]
        finally:
            for instance in self.opened:
                instance.close()
        return outcomes

    async def command(self, command: dict[str, Any]) -> Outcome:
        """One command."""
        kind, line = command["type"], command["line"]

        def outcome(verdict: str, reason: str = "") -> Outcome:
            return Outcome(line, kind, verdict, reason)

        if command.get("module_type") == "text":
            return outcome(ELSEWHERE, "a matter of the text format")
        match kind:
            case "module":
                return await self.module(command, outcome)
            case "module_definition":
                self.definitions[command.get("name")] = self.bytes(command)
                return self.checked(command, outcome)
            case "module_instance":
                wasm = self.definitions[command.get("module")]
                return await self.instantiate(wasm, command.get("instance"), outcome)
            case "assert_invalid" | "assert_malformed" | "assert_unlinkable":
                return self.refused(command, outcome)
            case "assert_uninstantiable":
                found = await self.instantiate(self.bytes(command), None, outcome)
                return outcome(PASSED) if found.verdict == FAILED else outcome(FAILED, "it was instantiated")
            case "assert_return" | "assert_trap" | "action":
                return await self.action(command, outcome)
        return outcome(ELSEWHERE, f"the command {kind}")

    def bytes(self, command: dict[str, Any]) -> bytes:
        """The component a command speaks of."""
        found: bytes = (self.directory / command["filename"]).read_bytes()
        return found

    async def module(self, command: dict[str, Any], outcome: Any) -> Outcome:
        return await self.instantiate(self.bytes(command), command.get("name"), outcome)

    async def instantiate(self, wasm: bytes, name: str | None, outcome: Any) -> Outcome:
        """Make an instance, which later commands call."""
        found: Outcome
        current = self.instances.get(None)
        if isinstance(current, Instance) and not any(v is current for k, v in self.instances.items() if k):
            current.close()
        if not is_component(wasm):
            found = self.instances[None] = self.instances[name] = outcome(
                ELSEWHERE, "a core module of its own"
            )
            return found
        try:
            component = Component.load(self.engine, built(wasm, self.offered, self.form), self.offered)
            instance = Instance(component, LIMITS)
            self.opened.append(instance)
            await instance.start()
        except (UnsupportedFeature, UnknownImport) as error:
            found = outcome(ELSEWHERE, _short(error.message))
        except (ProgramError, GuestError) as error:
            found = outcome(FAILED, error.explain())
        else:
            self.instances[None] = self.instances[name] = instance
            return outcome(PASSED)
        self.instances[None] = self.instances[name] = found
        return found

    def checked(self, command: dict[str, Any], outcome: Any) -> Outcome:
        """Whether a component is accepted."""
        from wasmind.component.planner import check_component

        try:
            wasm = self.bytes(command)
            if not is_component(wasm):
                return outcome(ELSEWHERE, "a core module of its own")
            check_component(wasm)
        except UnsupportedFeature as error:
            return outcome(ELSEWHERE, _short(error.message))
        except ProgramError as error:
            return outcome(FAILED, error.explain())
        return outcome(PASSED)

    def refused(self, command: dict[str, Any], outcome: Any) -> Outcome:
        """Whether a component is refused as it should be."""
        from wasmind.component.planner import check_component

        wasm = self.bytes(command)
        if not is_component(wasm):
            return outcome(ELSEWHERE, "a core module of its own")
        try:
            check_component(wasm)
            built(wasm, self.offered, self.form)
        except UnsupportedFeature as error:
            return outcome(ELSEWHERE, _short(error.message))
        except ProgramError:
            return outcome(PASSED)
        if command["type"] == "assert_unlinkable":
            return outcome(ELSEWHERE, "what is imported and never called is not asked for")
        if any(words in command["text"] for words in ("not supported", "not implemented", "is not active")):
            return outcome(ELSEWHERE, "a limit of Wasmtime's own")
        return outcome(FAILED, f"accepted; expected: {command['text']}")

    async def action(self, command: dict[str, Any], outcome: Any) -> Outcome:
        """Call an export, and compare."""
        action = command.get("action", command)
        instance = self.instances.get(action.get("module"))
        if not isinstance(instance, Instance):
            return outcome(ELSEWHERE, instance.reason if instance else "no such instance")
        if instance.guest.figures.wall_ns:
            return outcome(ELSEWHERE, "the instance has trapped before")
        kind = function_type(instance.component, action["field"])
        values = [value(each, f.type) for each, f in zip(action["args"], kind.params, strict=True)]
        try:
            got = await instance.call(action["field"], *values)
        except GuestError as error:
            if command["type"] == "assert_trap":
                return outcome(PASSED)
            return outcome(FAILED, error.explain())
        if command["type"] == "assert_trap":
            return outcome(FAILED, f"answered {got!r}; expected: {command['text']}")
        wanted = [value(each, kind.result) for each in command.get("expected", ()) if kind.result is not None]
        if wanted and not same(got, wanted[0]):
            return outcome(FAILED, f"answered {got!r}, expected {wanted[0]!r}")
        return outcome(PASSED)


def _short(message: str) -> str:
    return message.partition(" (at byte")[0].partition(" at byte")[0]


ALL_SCRIPTS = tuple(sorted(SCRIPTS.glob("*/**/*.wast")))


def components(script: Path) -> list[bytes]:
    """The binary components of a script, valid or not."""
    try:
        directory, commands = translate(script)
    except ValueError:
        return []
    files = {each["filename"] for each in commands if each.get("filename", "").endswith(".wasm")}
    return [wasm for name in sorted(files) if is_component(wasm := (directory / name).read_bytes())]
