"""Raw contents in the messages of the gRPC form, without a copy: beside the fields that protobuf reads.

A tensor may be the whole memory of a guest, and protobuf copies each of its fields twice either way.
"""

from __future__ import annotations

from wasmind.errors import InvalidArgument

RAW_INPUT, RAW_OUTPUT = 7, 6
"""The numbers of `raw_input_contents` in a ModelInferRequest, `raw_output_contents` in its response."""
MAX_FIELDS = 16_384
"""Fields of a message, of which some servers send one for each parameter."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def field_of(number: int, size: int) -> bytes:
    """What stands before `size` bytes that are the value of field `number`, which is less than 16."""
    found = bytearray((number << 3 | _BYTES,))
    while size >= 128:
        found.append(size & 127 | 128)
        size >>= 7
    found.append(size)
    return bytes(found)


def parted(message: memoryview, number: int) -> tuple[bytes, list[memoryview]]:
    """A message without the fields of this number, and these: bytes. Raises InvalidArgument."""
    rest, raw = bytearray(), []
    at, end, left = 0, len(message), MAX_FIELDS
    while at < end:
        start = at
        tag, at = _varint(message, at)
        kind = tag & 7
        size = 0
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise InvalidArgument(f"the message has a field of kind {kind}")
        if size > end - at or not left:
            raise InvalidArgument("the message is cut" if left else f"it has more than {MAX_FIELDS} fields")
        if tag == number << 3 | _BYTES:
            raw.append(message[at : at + size])
        else:
            rest += message[start : at + size]
        at += size
        left -= 1
    return bytes(rest), raw


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number, and where the next thing begins."""
    found = shift = 0
    for byte in message[at : at + 10]:
        found |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return found, at
        shift += 7
    raise InvalidArgument("the message is cut within a number")
