"""What every table of the file is made of: sections, sizes."""

from __future__ import annotations

import re

import msgspec

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\Z", re.IGNORECASE)
_BYTES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Size(int):
    """A number of bytes, written as an integer or as text such as "128MiB" or "64 KB"."""

    @classmethod
    def parse(cls, value: object) -> Size:
        """Read a size. Raises ValueError."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        found = _SIZE.match(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError(f'expected a size such as 1048576 or "128MiB", got {value!r}')
        base = 1024 if found[3] else 1000
        return cls(float(found[1]) * base ** _BYTES[found[2].lower()])


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are refused, so a typing error is found."""
