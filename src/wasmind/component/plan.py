"""The plan of a component: what a process that runs it must know, stored beside the compiled artifact.

How the core modules are wired is settled when the plan is made: at run time there is a core instance whose
exports have names, and whose imports from the host are listed here with what each of them does. What is
called `memory`, `realloc`, `core`, `post_return` or `destructor` in this file is the name of such an export.
"""

from __future__ import annotations

import msgspec

from wasmind.component.types import FunctionType, StringEncoding

INITIALIZE = "_initialize"
"""The core export that is called first, where there is one: it does what start functions do."""
FORMAT = 1
"""Raised whenever the meaning of a stored plan changes; one of another format is made anew."""


class Options(msgspec.Struct, frozen=True):
    """How one side of a call keeps its values (Binary.md, `canonopt`)."""

    instance: int
    """The component instance whose handle table and flags apply."""
    encoding: StringEncoding = StringEncoding.UTF8
    memory: str | None = None
    realloc: str | None = None


class HostFunction(msgspec.Struct, frozen=True, tag_field="does"):
    """What a core import from the host does."""


class Lower(HostFunction, frozen=True, tag="lower"):
    """Calls a function that the component imports: lift the arguments, call the host, lower the result."""

    interface: str
    """Such as "wasi:io/streams@0.2.12"; empty for a function imported on its own."""
    name: str
    """Such as "[method]input-stream.read"."""
    type: FunctionType
    options: Options


class ResourceNew(HostFunction, frozen=True, tag="resource.new"):
    """(rep) -> handle: `canon resource.new` of a resource that the instance implements."""

    resource: int
    instance: int


class ResourceRep(HostFunction, frozen=True, tag="resource.rep"):
    """(handle) -> rep: `canon resource.rep` of a resource that the instance implements."""

    resource: int
    instance: int


class ResourceDrop(HostFunction, frozen=True, tag="resource.drop"):
    """(handle) -> (): `canon resource.drop` of a host's resource, or of one without a destructor."""

    resource: int
    instance: int


class DropEnter(HostFunction, frozen=True, tag="drop-enter"):
    """(handle) -> (call, rep): the first half of `resource.drop` of a resource with a destructor.

    Core code then calls the destructor with `rep` when `call` is 1, and DropLeave afterwards; so the
    destructor may suspend the guest, since no frame of the host is below it. `call` is 0 for a borrowed
    handle.
    """

    resource: int
    instance: int


class DropLeave(HostFunction, frozen=True, tag="drop-leave"):
    """() -> (): the destructor has returned."""

    resource: int
    instance: int


class AdapterEnter(HostFunction, frozen=True, tag="adapter-enter"):
    """The first half of a call between two components: the caller's core arguments -> the callee's.

    Core code then calls the callee itself, which may therefore suspend, and AdapterLeave afterwards.
    """

    adapter: int


class AdapterLeave(HostFunction, frozen=True, tag="adapter-leave"):
    """The second half: (the callee's core results, the caller's return pointer) -> the caller's results.

    With a post-return function, core code calls it next, and then AdapterExit.
    """

    adapter: int


class AdapterExit(HostFunction, frozen=True, tag="adapter-exit"):
    """() -> (): the callee's post-return function has returned."""

    adapter: int


class EntryEnter(HostFunction, frozen=True, tag="entry-enter"):
    """() -> the core function's parameters: lowers the arguments of the host's call of an export."""

    export: int


class EntryLeave(HostFunction, frozen=True, tag="entry-leave"):
    """(the core function's results) -> (): lifts the result of the call."""

    export: int


class EntryExit(HostFunction, frozen=True, tag="entry-exit"):
    """() -> (): the post-return function has returned."""

    export: int


Does = (
    Lower
    | ResourceNew
    | ResourceRep
    | ResourceDrop
    | DropEnter
    | DropLeave
    | AdapterEnter
    | AdapterLeave
    | AdapterExit
    | EntryEnter
    | EntryLeave
    | EntryExit
)


class HostImport(msgspec.Struct, frozen=True):
    """A core function that the host provides, under a name that is unique in the plan."""

    module: str
    name: str
    params: tuple[str, ...]
    """Core types: i32, i64, f32, f64."""
    results: tuple[str, ...]
    does: Does


class Adapter(msgspec.Struct, frozen=True):
    """A function that one component instance lifts and another lowers."""

    type: FunctionType
    caller: Options
    callee: Options
    post_return: bool


class Lift(msgspec.Struct, frozen=True, tag_field="is", tag="lift"):
    """A function the component exports."""

    type: FunctionType
    core: str
    options: Options
    post_return: str | None = None
    entry: str | None = None
    """The core function that makes the whole call: EntryEnter, `core`, EntryLeave, and with a post-return
    function that and EntryExit. It is there if the call has to allocate, or to clean up."""


class Forward(msgspec.Struct, frozen=True, tag_field="is", tag="forward"):
    """An export that is one of the component's imports, passed through."""

    type: FunctionType
    interface: str
    name: str


class Export(msgspec.Struct, frozen=True):
    """A function that the host may call."""

    interface: str
    """Such as "wasi:http/incoming-handler@0.2.12"; empty for a function exported on its own."""
    name: str
    function: Lift | Forward


class Resource(msgspec.Struct, frozen=True):
    """A resource type; its place in `Plan.resources` is its number."""

    name: str
    interface: str = ""
    """The interface it is imported from (or first exported in)."""
    owner: int | None = None
    """The component instance that implements it; None means the host."""
    destructor: str | None = None


class Instance(msgspec.Struct, frozen=True):
    """A component instance; its place in `Plan.instances` is its number. The first is the component."""

    parent: int | None = None


class Plan(msgspec.Struct, frozen=True):
    """A component, ready to be linked."""

    format: int
    imports: tuple[HostImport, ...]
    exports: tuple[Export, ...]
    adapters: tuple[Adapter, ...]
    resources: tuple[Resource, ...]
    instances: tuple[Instance, ...]

    def export(self, interface: str, name: str) -> Export | None:
        """The export of exactly this name, if there is one."""
        return next((e for e in self.exports if e.interface == interface and e.name == name), None)


def encode(plan: Plan) -> bytes:
    """The plan as stored."""
    return msgspec.msgpack.encode(plan)


def decode(data: bytes) -> Plan | None:
    """A stored plan; None if it is not one of this format, and must be made anew."""
    try:
        plan = _decoder.decode(data)
    except msgspec.DecodeError:
        return None
    return plan if plan.format == FORMAT else None


_decoder = msgspec.msgpack.Decoder(Plan)
