"""What both ends of an HTTP/2 connection share: header blocks that are remembered mean what they say."""

from __future__ import annotations

from contextlib import suppress

import pytest

hpack = pytest.importorskip("hpack", reason="hpack is not installed")

from hypothesis import given  # noqa: E402 - hpack may be missing
from hypothesis import strategies as st  # noqa: E402 - hpack may be missing

from wasmind.httpd import frames, http2  # noqa: E402 - it needs hpack
from wasmind.httpd.http2 import Blocks, Broken  # noqa: E402 - it needs hpack

HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b":status", b"content-type", b"x", b"y"]), st.sampled_from([b"200", b"a", b"b"])
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda pair: pair[0],
)


@given(st.lists(st.tuples(HEADERS, st.booleans()), max_size=30), st.booleans())
def test_what_is_remembered_is_what_hpack_reads(
    messages: list[tuple[list[tuple[bytes, bytes]], bool]], table: bool
) -> None:
    encoder, blocks = hpack.Encoder(), Blocks(table=table)
    if not table:
        encoder.header_table_size = 0
    for headers, huffman in messages:
        assert blocks.unpack(encoder.encode(headers, huffman=huffman)) == dict(headers)


def test_without_a_table_a_block_is_unpacked_once() -> None:
    blocks = Blocks(table=False)
    block = frames.literal(b"some", b"header")
    first = blocks.unpack(block)
    assert blocks.unpack(block) is first


def test_what_is_remembered_is_bounded() -> None:
    blocks = Blocks(table=False)
    for number in range(3 * http2.MOST_KNOWN):
        blocks.unpack(frames.literal(b"id", b"%d" % number))
    blocks.unpack(frames.literal(b"long", b"x" * http2.LONGEST_KNOWN))
    assert len(blocks._known) <= http2.MOST_KNOWN
    assert all(len(block) <= http2.LONGEST_KNOWN for block in blocks._known)


@pytest.mark.parametrize("block", [b"\xbe", b"\x3f\xe1\x1f", b"\x40\x01x", b"\x00" + b"\x7f\xff" * 3])
def test_what_refers_to_a_table_that_there_is_not_or_is_cut(block: bytes) -> None:
    with pytest.raises(Broken):
        Blocks(table=False).unpack(block)


def test_headers_that_are_too_large() -> None:
    blocks = Blocks(table=True)
    blocks.unpack(b"\x40" + frames.literal(b"some", b"x" * 3000)[1:])
    with pytest.raises(Broken):
        blocks.unpack(b"\xbe" * 20)  # twenty bytes that are sixty thousand


@given(st.binary(max_size=60), st.booleans())
def test_any_block_is_headers_or_an_error(block: bytes, table: bool) -> None:
    with suppress(Broken):
        assert all(isinstance(name, bytes) for name in Blocks(table=table).unpack(block))
