"""Text from guests, clients and frameworks, made harmless for terminals and for logs of one line a record."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\x1b": "\\e"}


def escape(text: str) -> str:
    """Replace control characters, ANSI escapes, line separators and bidirectional overrides by their names.

    A tab stays, and so does everything printable, in any script.
    """
    return _UNSAFE.sub(_named, text)


def escape_json(document: str) -> str:
    """The same for a JSON document on one line, which stays that document."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def _named(match: re.Match[str]) -> str:
    char = match[0]
    return _SHORT.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")
