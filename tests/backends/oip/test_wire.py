"""Raw contents put into messages and taken out of them, beside what protobuf itself makes of these."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_inference.grpc import protocol

from wasmind.backends.oip.wire import MAX_FIELDS, RAW_INPUT, RAW_OUTPUT, field_of, parted
from wasmind.errors import InvalidArgument

SIZES = [0, 1, 127, 128, 16_383, 16_384, 3_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_protobuf_reads_what_is_put_in(size: int) -> None:
    head = protocol.ModelInferRequest(model_name="m").SerializeToString()
    message = head + field_of(RAW_INPUT, size) + bytes(size)
    read = protocol.ModelInferRequest.FromString(message)
    assert (read.model_name, list(read.raw_input_contents)) == ("m", [bytes(size)])


@given(
    st.lists(st.binary(max_size=300), max_size=5),
    st.lists(st.text(max_size=20), max_size=5),
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=5),
)
def test_what_protobuf_wrote_is_taken_out(raw: list[bytes], names: list[str], shape: list[int]) -> None:
    written = protocol.ModelInferResponse(model_name="m", id="\0", raw_output_contents=raw)
    for name in names:
        one = written.outputs.add(name=name, datatype="FP32", shape=shape)
        one.contents.fp32_contents.append(1.5)
        one.parameters["p"].double_param = 2.5
        written.parameters[name].bool_param = True
    rest, found = parted(memoryview(written.SerializeToString()), RAW_OUTPUT)
    assert list(map(bytes, found)) == raw
    del written.raw_output_contents[:]
    assert protocol.ModelInferResponse.FromString(rest) == written


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    try:
        rest, found = parted(memoryview(data), RAW_OUTPUT)
    except InvalidArgument:
        return
    assert len(rest) + sum(map(len, found)) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x32",  # no length
        b"\x32\x05four",
        b"\x32\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x80" * 11,
        b"\x35\x01\x02\x03",  # four bytes are three
        b"\x33",  # a group
        b"\x0a\x00" * (MAX_FIELDS + 1),
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parted(memoryview(data), RAW_OUTPUT)


def test_fields_that_protobuf_passes_over() -> None:
    unknown = b"\x7d1234" + b"\x7912345678" + b"\x78\x01"
    rest, raw = parted(memoryview(unknown + b"\x32\x01x"), RAW_OUTPUT)
    assert (rest, list(map(bytes, raw))) == (unknown, [b"x"])
