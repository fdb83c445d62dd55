"""Reading type definitions of components (Binary.md, "Type Definitions")."""

from __future__ import annotations

from collections.abc import Callable

from wasmind.component.binary.cursor import Cursor
from wasmind.component.binary.definitions import (
    AliasOuter,
    CoreDesc,
    DefineCoreType,
    EnumDef,
    FlagsDef,
    FuncDef,
    HandleDef,
    Labelled,
    ListDef,
    MapDef,
    ModuleExport,
    ModuleImport,
    ModuleTypeDef,
    OptionDef,
    RecordDef,
    ResourceDef,
    ResultDef,
    Sort,
    TupleDef,
    TypedBy,
    TypeDef,
    ValueRef,
    VariantDef,
)
from wasmind.component.binary.names import LABEL
from wasmind.component.core.types import (
    CoreFunction,
    read_function,
    read_global,
    read_memory,
    read_table,
)
from wasmind.component.types import Primitive
from wasmind.errors import UnsupportedFeature

PRIMITIVES = {
    0x7F: Primitive.BOOL,
    0x7E: Primitive.S8,
    0x7D: Primitive.U8,
    0x7C: Primitive.S16,
    0x7B: Primitive.U16,
    0x7A: Primitive.S32,
    0x79: Primitive.U32,
    0x78: Primitive.S64,
    0x77: Primitive.U64,
    0x76: Primitive.F32,
    0x75: Primitive.F64,
    0x74: Primitive.CHAR,
    0x73: Primitive.STRING,
}
_ASYNC = {0x43: "an async function type", 0x64: "error-context", 0x65: "future", 0x66: "stream"}
MAX_PARAMS = 1_000
MAX_FLAGS = 32


def refused_async(what: str, at: int) -> UnsupportedFeature:
    """The error for a component of WASI 0.3."""
    return UnsupportedFeature(
        f"the component uses {what} (at byte {at})",
        cause="asynchronous components, as of WASI 0.3, are not offered yet",
        remedy="build it for WASI 0.2 (wasm32-wasip2)",
    )


def read_value_ref(cursor: Cursor) -> ValueRef:
    """A value type where it is used: an index, or a primitive."""
    code = cursor.peek()
    primitive = PRIMITIVES.get(code)
    if primitive is not None:
        cursor.byte()
        return primitive
    if code in _ASYNC:
        raise refused_async(_ASYNC[code], cursor.at)
    start = cursor.at
    index = cursor.signed(33)
    if index < 0:
        raise cursor.fail(f"0x{code:02x} is no value type", start)
    return index


def read_label(cursor: Cursor) -> str:
    """The name of a field, a case, a flag or a parameter."""
    start = cursor.at
    name = cursor.name()
    if not LABEL.match(name):
        raise cursor.fail(f"{name!r} is not a name in kebab-case", start)
    return name


def _labels(cursor: Cursor) -> tuple[str, ...]:
    return _distinct(cursor, cursor.vector(read_label))


def _distinct(cursor: Cursor, names: list[str]) -> tuple[str, ...]:
    if len({name.lower() for name in names}) != len(names):
        raise cursor.fail("a name is there twice")
    return tuple(names)


def _labelled(cursor: Cursor) -> tuple[Labelled, ...]:
    items = cursor.vector(lambda c: (read_label(c), read_value_ref(c)))
    _distinct(cursor, [name for name, _ in items])
    return tuple(items)


def _some(cursor: Cursor, count: int, what: str, most: int | None = None) -> None:
    if count == 0 or (most is not None and count > most):
        raise cursor.fail(f"{what} {f'has 1 to {most}' if most else 'has at least one'}, not {count}")


def _record(cursor: Cursor) -> RecordDef:
    fields = _labelled(cursor)
    _some(cursor, len(fields), "a record")
    return RecordDef(fields)


def _variant(cursor: Cursor) -> VariantDef:
    def case(item: Cursor) -> tuple[str, ValueRef | None]:
        found = (read_label(item), item.maybe(read_value_ref))
        item.expect(0, "the end of a case")
        return found

    cases = cursor.vector(case)
    _some(cursor, len(cases), "a variant")
    _distinct(cursor, [name for name, _ in cases])
    return VariantDef(tuple(cases))


def _fixed_list(cursor: Cursor) -> ListDef:
    element, length = read_value_ref(cursor), cursor.u32()
    _some(cursor, length, "a list of fixed length")
    return ListDef(element, length)


def _tuple(cursor: Cursor) -> TupleDef:
    elements = tuple(cursor.vector(read_value_ref))
    _some(cursor, len(elements), "a tuple")
    return TupleDef(elements)


def _flags(cursor: Cursor) -> FlagsDef:
    names = _labels(cursor)
    _some(cursor, len(names), "a flags type", MAX_FLAGS)
    return FlagsDef(names)


def _enum(cursor: Cursor) -> EnumDef:
    names = _labels(cursor)
    _some(cursor, len(names), "an enum")
    return EnumDef(names)


def _result(cursor: Cursor) -> ResultDef:
    return ResultDef(cursor.maybe(read_value_ref), cursor.maybe(read_value_ref))


def _function(cursor: Cursor) -> FuncDef:
    params = _labelled(cursor)
    if len(params) > MAX_PARAMS:
        raise cursor.fail(f"a function of more than {MAX_PARAMS} parameters")
    return FuncDef(params, read_result_list(cursor))


def read_result_list(cursor: Cursor) -> ValueRef | None:
    """A function's result, or none."""
    start, code = cursor.at, cursor.byte()
    if code == 0:
        return read_value_ref(cursor)
    if code != 1 or cursor.byte() != 0:
        raise cursor.fail("a function has one result without a name, or none", start)
    return None


def _resource(cursor: Cursor) -> ResourceDef:
    start, representation = cursor.at, cursor.byte()
    if representation == 0x7E:
        raise UnsupportedFeature(
            f"a resource represented by an i64, at byte {start}", cause="64-bit memories are not offered"
        )
    if representation != 0x7F:
        raise cursor.fail("resources can only be represented by `i32`", start)
    return ResourceDef(cursor.maybe(Cursor.u32))


_TYPES: dict[int, Callable[[Cursor], TypeDef]] = {
    0x72: _record,
    0x71: _variant,
    0x70: lambda cursor: ListDef(read_value_ref(cursor)),
    0x67: _fixed_list,
    0x6F: _tuple,
    0x6E: _flags,
    0x6D: _enum,
    0x6B: lambda cursor: OptionDef(read_value_ref(cursor)),
    0x6A: _result,
    0x69: lambda cursor: HandleDef(cursor.u32(), owned=True),
    0x68: lambda cursor: HandleDef(cursor.u32(), owned=False),
    0x63: lambda cursor: MapDef(read_value_ref(cursor), read_value_ref(cursor)),
    0x40: _function,
    0x3F: _resource,
}


def read_plain_type(cursor: Cursor) -> TypeDef:
    """A type that is no component or instance type."""
    start, code = cursor.at, cursor.byte()
    primitive = PRIMITIVES.get(code)
    if primitive is not None:
        return primitive
    if code in _ASYNC:
        raise refused_async(_ASYNC[code], start)
    read = _TYPES.get(code)
    if read is None:
        raise cursor.fail(f"0x{code:02x} is no type", start)
    return read(cursor)


# --- core types ----------------------------------------------------------------------------------------


def _no_index(_: int) -> CoreFunction:
    raise UnsupportedFeature("a reference to a type by its index, in a core type of a component")


def read_core_type(cursor: Cursor) -> DefineCoreType:
    """A core type: of a function, or of a module."""
    start, code = cursor.at, cursor.byte()
    if code == 0x60:
        return DefineCoreType(start, read_function(cursor, _no_index))
    if code == 0x50:
        body = tuple(cursor.vector(_module_declaration))
        return DefineCoreType(start, ModuleTypeDef(body))
    if code in (0x00, 0x4E, 0x4F, 0x5E, 0x5F):
        raise UnsupportedFeature(f"a type of the garbage collection proposal at byte {start}")
    raise cursor.fail(f"0x{code:02x} is no core type", start)


def _module_declaration(cursor: Cursor) -> CoreFunction | AliasOuter | ModuleImport | ModuleExport:
    start, code = cursor.at, cursor.byte()
    match code:
        case 0:
            return ModuleImport(cursor.name(), cursor.name(), _core_desc(cursor))
        case 1:
            cursor.expect(0x60, "a function type")
            return read_function(cursor, _no_index)
        case 2:
            cursor.expect(0x10, "the sort of types")
            cursor.expect(0x01, "an outer alias")
            return AliasOuter(start, Sort.CORE_TYPE, cursor.u32(), cursor.u32())
        case 3:
            return ModuleExport(cursor.name(), _core_desc(cursor))
    raise cursor.fail(f"0x{code:02x} is no part of a module type", start)


def _core_desc(cursor: Cursor) -> CoreDesc:
    start, code = cursor.at, cursor.byte()
    match code:
        case 0:
            return TypedBy(cursor.u32())
        case 1:
            return read_table(cursor, _no_index)
        case 2:
            return read_memory(cursor)
        case 3:
            return read_global(cursor, _no_index)
        case 4:
            cursor.expect(0, "an exception's attribute")
            return TypedBy(cursor.u32(), tag=True)
    raise cursor.fail(f"0x{code:02x} is nothing to import or export", start)
