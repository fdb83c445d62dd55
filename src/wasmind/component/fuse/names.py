"""The name section of the fused module, so that a trap can be told where it happened."""

from __future__ import annotations

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core import emit
from wasmind.component.core.module import CoreModule, Kind, Section
from wasmind.component.fuse.layout import Layout
from wasmind.errors import ProgramError

MAX_NAMES = 4 << 20
"""Names of more bytes than this are left out: they only help to explain traps."""
_FUNCTIONS = 1


def name_section(layout: Layout) -> bytes:
    """The names of the functions that the instances name themselves; nothing if none do, or too many."""
    names: list[tuple[int, bytes]] = []
    size = 0
    for part in layout.parts:
        if part.elided or part.module.names is None:
            continue
        size += part.module.names.end - part.module.names.at
        if size > MAX_NAMES:
            return b""
        known = part.maps[Kind.FUNC]
        own = range(part.module.imported(Kind.FUNC), len(known))
        names += [(known[index], text) for index, text in _functions(part.module).items() if index in own]
    if not names:
        return b""
    names.sort()
    content = emit.vector([emit.u32(index) + emit.u32(len(text)) + text for index, text in names])
    body = emit.name("name") + bytes((_FUNCTIONS,)) + emit.u32(len(content)) + content
    return emit.section(Section.CUSTOM, body)


def _functions(module: CoreModule) -> dict[int, bytes]:
    """A module's own names of its functions. A broken name section is as good as none."""
    span = module.names
    if span is None:
        return {}
    cursor = Cursor(module.data, span.at, span.end)
    try:
        while not cursor.done:
            code = cursor.byte()
            part = cursor.within(cursor.u32())
            if code == _FUNCTIONS:
                found = part.vector(lambda c: (c.u32(), c.bytes(c.u32())))
                return {index: text for index, text in found if _readable(text)}
    except ProgramError:
        return {}
    return {}


def _readable(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
