"""Function bodies: every instruction that names an index gets the fused module's.

One pass: a regular expression runs over the instructions that stay as they are and stops at one to translate;
how that one is to be written is remembered by its bytes. What no pattern knows is decoded by hand (`_odd`),
so nothing is ever skipped unread; an instruction that is not known makes the component Unfusable. Whether the
code is valid is not looked at: bytes that stay are copied as they are, and Wasmtime validates the fused
module.
"""

from __future__ import annotations

import re

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core import emit
from wasmind.component.core.module import Kind, Section
from wasmind.component.core.types import read_value
from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.constants import Constants, heap_type
from wasmind.component.fuse.layout import Layout, Part

_LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
_ALIGN = rb"[\x00-\x3f]"  # without a memory index: bit 6 announces one
_PLAIN = (
    rb"[\x20-\x22\x41\x42\x0c\x0d\xd5\xd6]" + _LEB,  # local.*, i32.const, i64.const, br, br_if, br_on_*
    rb"[\x00\x01\x05\x0a\x0b\x0f\x1a\x1b\x45-\xc4\xd1\xd4]",  # without immediates
    rb"[\x02-\x04][\x40\x69-\x70\x7b-\x7f]",  # block, loop, if
    rb"\x44.{8}",
    rb"\x43.{4}",
    rb"\xfc[\x00-\x07]",
    rb"\xfd(?:[\x0c\x0d].{16}|[\x15-\x22].|[\x0e-\x14\x23-\x53\x5e-\x7f]|[\x80-\xff][\x01\x02])",
)
_MEMORY = (
    rb"[\x28-\x3e]" + _ALIGN + _LEB,
    rb"\xfd(?:[\x00-\x0b\x5c\x5d]" + _ALIGN + _LEB + rb"|[\x54-\x5b]" + _ALIGN + _LEB + rb".)",
    rb"[\x3f\x40]\x00",
    rb"\xfc\x0a\x00\x00|\xfc\x0b\x00",
)
"""What speaks of memory 0: it stays as it is if that is the fused module's memory 0 too."""
_TRANSLATED = (
    rb"[\x10\x12\x23-\x26\xd2\x14\x15\x08]" + _LEB,  # call, global.*, table.*, ref.func, throw
    rb"[\x11\x13]" + _LEB + _LEB,  # call_indirect, return_call_indirect
    rb"[\x02-\x04]" + _LEB,  # block types that are function types
    rb"\xfc(?:[\x08\x0a\x0c\x0e]" + _LEB + _LEB + rb"|[\x09\x0b\x0d\x0f-\x11]" + _LEB + rb")",
    rb"\xd0" + _LEB,  # ref.null
)


def _pattern(plain: tuple[bytes, ...], translated: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Matches a run of plain instructions and one to translate, or else all the rest."""
    return re.compile(rb"((?:" + rb"|".join(plain) + rb")*+)(" + rb"|".join(translated) + rb"|.*)", re.DOTALL)


_SHARED_MEMORY = _pattern(_PLAIN[:1] + _MEMORY[:1] + _PLAIN[1:] + _MEMORY[1:], _TRANSLATED)
_OTHER_MEMORY = _pattern(_PLAIN, _MEMORY + _TRANSLATED)

_LOCALS = [re.compile(rb"%b(?:%b[\x7b-\x7f]){%d}" % (bytes((n,)), _LEB, n), re.DOTALL) for n in range(8)]
"""Local variables of number types, in so many groups."""
_FC_INDICES = {
    0x08: ("data", Kind.MEMORY),
    0x09: ("data",),
    0x0A: (Kind.MEMORY, Kind.MEMORY),
    0x0B: (Kind.MEMORY,),
    0x0C: ("element", Kind.TABLE),
    0x0D: ("element",),
    0x0E: (Kind.TABLE, Kind.TABLE),
    0x0F: (Kind.TABLE,),
    0x10: (Kind.TABLE,),
    0x11: (Kind.TABLE,),
}
"""The indices behind 0xfc: memory.init to table.fill."""
_INDEXED = {
    0x10: Kind.FUNC,
    0x12: Kind.FUNC,
    0xD2: Kind.FUNC,
    0x24: Kind.GLOBAL,
    0x25: Kind.TABLE,
    0x26: Kind.TABLE,
    0x08: Kind.TAG,
}


class _Odd(Exception):
    """What stands here is more than one instruction."""


class Translator(dict[bytes, bytes]):
    """How each instruction of an instance is written in the fused module, found out when it is first met."""

    def __init__(self, part: Part, layout: Layout, constants: Constants) -> None:
        super().__init__()
        self.part = part
        self.layout = layout
        self.constants = constants
        self.referenced: set[int] = set()
        """The functions of the fused module that code makes references to."""
        memories = part.maps[Kind.MEMORY]
        self.pattern = _SHARED_MEMORY if not memories or memories[0] == 0 else _OTHER_MEMORY
        self[b""] = b""

    def bodies(self) -> list[bytes]:
        """All function bodies, each with its size in front. Raises NotWasm or Unfusable."""
        module = self.part.module
        span = module.sections.get(Section.CODE)
        if span is None:
            return []
        cursor = Cursor(module.data, span.at, span.end)
        out = []
        for _ in range(cursor.count()):
            body = cursor.within(cursor.u32())
            code = self.body(body)
            out.append(emit.u32(len(code)) + code)
        cursor.finish("the code section")
        return out

    def body(self, cursor: Cursor) -> bytes:
        """A function body: its locals and instructions."""
        out = [self._locals(cursor)]
        add, findall, data = out.append, self.pattern.findall, cursor.data
        while not cursor.done:
            instruction = b""
            try:
                for plain, instruction in findall(data, cursor.at, cursor.end):
                    add(plain)
                    add(self[instruction])
                cursor.at = cursor.end
            except _Odd:
                # The pattern took all that was left, since it does not know the first instruction of it.
                cursor.at = cursor.end - len(instruction)
                add(self._odd(cursor))
        return b"".join(out)

    def __missing__(self, instruction: bytes) -> bytes:
        """The translation of an instruction that is met for the first time; it is remembered."""
        if instruction[0] in _KNOWN:
            cursor = Cursor(instruction)
            translated = self._translate(cursor)
            if translated is not None and cursor.done:
                self[instruction] = translated
                return translated
        raise _Odd

    def _locals(self, cursor: Cursor) -> bytes:
        start = cursor.at
        plain = _LOCALS[cursor.peek() & 7].match(cursor.data, start, cursor.end)
        if plain:
            cursor.at = plain.end()
            return plain[0]
        groups = []
        for _ in range(cursor.count()):
            number = cursor.u32()
            kind = read_value(cursor, self.part.module.function_type)
            groups.append((number, kind))
        if all(isinstance(kind, str) for _, kind in groups):
            return cursor.data[start : cursor.at]
        return emit.vector(
            [emit.u32(number) + emit.value(kind, self.layout.type_index) for number, kind in groups]
        )

    # --- single instructions ---------------------------------------------------------------------------

    def _translate(self, cursor: Cursor) -> bytes | None:
        code = cursor.byte()
        head = bytes((code,))
        if code == 0x23:
            return self._global_get(cursor)
        if code in _INDEXED:
            index = self._index(_INDEXED[code], cursor)
            if code == 0xD2:
                self.referenced.add(index)
            return head + emit.u32(index)
        match code:
            case 0x11 | 0x13:
                return head + self._type(cursor) + emit.u32(self._index(Kind.TABLE, cursor))
            case 0x14 | 0x15:
                return head + self._type(cursor)
            case 0x02 | 0x03 | 0x04:
                return head + self._block_type(cursor)
            case 0xD0:
                return head + heap_type(self.layout, self.part.module, cursor)
            case 0x3F | 0x40:
                return head + emit.u32(self._index(Kind.MEMORY, cursor))
            case 0xFC:
                return self._prefixed(cursor)
            case 0xFD:
                return self._vector(cursor)
        return head + self._memory_argument(cursor) if 0x28 <= code <= 0x3E else None

    def _index(self, kind: Kind, cursor: Cursor) -> int:
        index = cursor.u32()
        known = self.part.maps[kind]
        if index >= len(known) or known[index] < 0:
            raise cursor.fail(f"there is no {kind.name.lower()} {index}")
        return known[index]

    def _type(self, cursor: Cursor) -> bytes:
        return emit.u32(self.layout.type_index(self.part.module.function_type(cursor.u32())))

    def _block_type(self, cursor: Cursor) -> bytes:
        start, code = cursor.at, cursor.peek()
        if code in (0x63, 0x64):
            return emit.value(read_value(cursor, self.part.module.function_type), self.layout.type_index)
        index = cursor.signed(33)
        if index < 0:
            return cursor.data[start : cursor.at]
        return emit.signed(self.layout.type_index(self.part.module.function_type(index)))

    def _global_get(self, cursor: Cursor) -> bytes:
        """A global, or its value where it never changes."""
        index = cursor.u32()
        entities = self.part.entities[Kind.GLOBAL]
        if index >= len(entities):
            raise cursor.fail(f"there is no global {index}")
        constant = self.constants.immutable(entities[index])
        return constant.code if constant else b"\x23" + emit.u32(self.part.maps[Kind.GLOBAL][index])

    def _memory_argument(self, cursor: Cursor) -> bytes:
        """Alignment, memory and offset."""
        align = cursor.u32()
        memories = self.part.maps[Kind.MEMORY]
        index = cursor.u32() if align & 0x40 else 0
        if index >= len(memories):
            raise cursor.fail(f"there is no memory {index}")
        offset = emit.u32(cursor.u64())
        if memories[index] == 0:
            return emit.u32(align & ~0x40) + offset
        return emit.u32(align | 0x40) + emit.u32(memories[index]) + offset

    def _prefixed(self, cursor: Cursor) -> bytes:
        code = cursor.u32()
        out = [b"\xfc", emit.u32(code)]
        if code > 0x07 and code not in _FC_INDICES:
            raise Unfusable(f"the instruction 0xfc 0x{code:02x}")
        for kind in _FC_INDICES.get(code, ()):
            if isinstance(kind, Kind):
                out.append(emit.u32(self._index(kind, cursor)))
            else:
                first = self.part.datas if kind == "data" else self.part.elements
                out.append(emit.u32(first + cursor.u32()))
        return b"".join(out)

    def _vector(self, cursor: Cursor) -> bytes:
        """A vector instruction."""
        code = cursor.u32()
        head = b"\xfd" + emit.u32(code)
        if code <= 0x0B or code in (0x5C, 0x5D):
            return head + self._memory_argument(cursor)
        if 0x54 <= code <= 0x5B:
            return head + self._memory_argument(cursor) + cursor.bytes(1)
        if code in (0x0C, 0x0D):
            return head + cursor.bytes(16)
        return head + (cursor.bytes(1) if 0x15 <= code <= 0x22 else b"")

    # --- instructions no pattern knows -----------------------------------------------------------------

    def _odd(self, cursor: Cursor) -> bytes:
        """One instruction of a length that has to be counted, or written in an unusual way."""
        start, code = cursor.at, cursor.peek()
        if code in _KNOWN:
            translated = self._translate(cursor)
            if translated is not None:
                return translated
        cursor.at = start + 1
        match code:
            case 0x0E:  # br_table
                for _ in range(cursor.count() + 1):
                    cursor.u32()
                return cursor.data[start : cursor.at]
            case 0x1C:  # select of a type
                kinds = cursor.vector(lambda c: read_value(c, self.part.module.function_type))
                return b"\x1c" + emit.vector([emit.value(kind, self.layout.type_index) for kind in kinds])
            case 0x1F:
                return b"\x1f" + self._block_type(cursor) + emit.vector(cursor.vector(self._catch))
        raise Unfusable(f"the instruction 0x{code:02x}", cause=f"at byte {start}")

    def _catch(self, cursor: Cursor) -> bytes:
        code = cursor.byte()
        if code > 3:
            raise cursor.fail(f"0x{code:02x} is no clause of try_table")
        tag = emit.u32(self._index(Kind.TAG, cursor)) if code < 2 else b""
        return bytes((code,)) + tag + emit.u32(cursor.u32())


_KNOWN = frozenset(
    (
        *_INDEXED,
        0x23,
        0x11,
        0x13,
        0x14,
        0x15,
        0x02,
        0x03,
        0x04,
        0xD0,
        0x3F,
        0x40,
        0xFC,
        0xFD,
        *range(0x28, 0x3F),
    )
)
