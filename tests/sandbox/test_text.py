from __future__ import annotations

import pytest

from wasmind.errors import NotWasm
from wasmind.sandbox import from_text


def test_text_becomes_a_module() -> None:
    assert from_text("(module)")[:8] == b"\0asm\1\0\0\0"


def test_what_is_wrong_is_shown_where_it_is() -> None:
    with pytest.raises(NotWasm) as caught:
        from_text("(module\n  (func (nonsense)))")
    assert "nonsense" in (caught.value.cause or "")
