"""What frameworks say when they fail, what it means, and what to do about it.

A framework's own words are always kept. The tables in `wordings` add the meaning for those that people meet
most.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeVar

from wasmind.errors import NnError
from wasmind.nn.wordings import TABLE

MAX_WORDS = 2000
"""Characters kept of a framework's message."""

E = TypeVar("E", bound=NnError)


class Explanation(NamedTuple):
    """What a message means, and what to do."""

    meaning: str
    remedy: str


def explain(words: str) -> Explanation | None:
    """What a framework's message means; None when it is not in the table."""
    text = tidy(words)
    for pattern, meaning, remedy in TABLE:
        found = pattern.search(text)
        if found:
            groups = ["" if group is None else group or "?" for group in found.groups()]
            return Explanation(meaning.format(*groups), remedy.format(*groups))
    return None


def is_of_memory(words: str) -> bool:
    """Whether a framework's message is that it got no memory."""
    return bool(_MEMORY.search(words[: 4 * MAX_WORDS]))


_MEMORY = re.compile(
    r"bad[_ ]alloc|[Ff]ailed to allocate|(?:can't|[Cc]annot) allocate memory|tried to allocate|MemoryError"
    r"|OOM when allocating"
)


def explained(words: str, kind: type[E]) -> E:
    """Make an error of a framework's own words, with what they mean and what to do, where that is known."""
    found = explain(words)
    message = f"the framework says: {tidy(words) or 'nothing'}"
    return kind(message, cause=found.meaning if found else None, remedy=found.remedy if found else None)


def tidy(words: str) -> str:
    """A message on one line, without the places of a framework's source, and not too long."""
    text = _PLACE.sub("", " ".join(words[: 4 * MAX_WORDS].split()))
    return text if len(text) <= MAX_WORDS else text[:MAX_WORDS] + "…"


_PLACE = re.compile(
    r"/onnxruntime_src/\S+ (?:[^()]{0,400}\([^()]{0,400}\) )?|\b\w+\.(?:h|cc):\d+ \w+ "
    r"|Exception from src/\S+: |Check '[^']{0,200}' failed at src/\S+: |Caught exception: "
    r"|FrontEnd API failed with \w+: |\[enforce fail at \S+\] (?:\. |err == 0\. )?"
)
