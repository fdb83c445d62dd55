"""The REST form: whatever is packed is understood again, and no bytes do more than be refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.backends.oip import metadata, rest
from wasmind.backends.oip.datatypes import DATATYPES, RAW_ONLY
from wasmind.errors import InvalidArgument, RuntimeFailed, UnsupportedOperation
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType, byte_length
from wasmind.worker.runtimes.base import DTYPES

X = Tensor(TensorType.F32, (1, 2), struct.pack("<2f", 1, 2))


@st.composite
def tensors(draw: st.DrawFn, *, json: bool = False) -> Tensor:
    types = [type_ for type_ in TensorType if not (json and type_ in RAW_ONLY)]
    type_ = draw(st.sampled_from(types))
    dims = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    size = byte_length(type_, dims)
    data = draw(st.binary(min_size=size, max_size=size))
    if type_ is TensorType.BOOL:
        data = bytes(byte & 1 for byte in data)
    if json and DTYPES[type_].kind == "f":  # JSON has no NaN and no infinity
        array = np.frombuffer(data, DTYPES[type_])
        data = np.where(np.isfinite(array), array, 0).astype(DTYPES[type_]).tobytes()
    return Tensor(type_, dims, data)


named = st.lists(st.tuples(st.text(max_size=8), tensors()), max_size=4)


def same(found: list[rest.Named], expected: list[rest.Named]) -> bool:
    return [(n, t.type, t.dims, bytes(t.data)) for n, t in found] == [
        (n, t.type, t.dims, bytes(t.data)) for n, t in expected
    ]


@given(named)
def test_raw_tensors_make_the_round_trip(inputs: list[rest.Named]) -> None:
    headers, body = rest.pack_request(inputs, binary=True, outputs=["y"], request_id="7")
    head, found = rest.unpack_request(body, headers.get(rest.HEADER_LENGTH))
    assert same(found, inputs)
    assert head.id == "7"
    assert head.parameters.binary_data_output is True
    assert [one.name for one in head.outputs] == ["y"]


@given(st.lists(st.tuples(st.text(max_size=8), tensors(json=True)), max_size=4))
def test_json_tensors_make_the_round_trip(inputs: list[rest.Named]) -> None:
    headers, body = rest.pack_request(inputs, binary=False)
    assert headers == {"content-type": "application/json"}
    _, found = rest.unpack_request(body, None)
    assert same(found, inputs)


@given(named)
def test_a_response_makes_the_round_trip(outputs: list[rest.Named]) -> None:
    parts = [rest.part(name, tensor, binary=True) for name, tensor in outputs]
    headers, body = rest.pack(rest.InferResponse(parts), [tensor.data for _, tensor in outputs])
    assert same(rest.unpack_response(body, headers.get(rest.HEADER_LENGTH)), outputs)


@given(st.binary(max_size=200), st.none() | st.text(max_size=30) | st.integers(-3, 300).map(str))
def test_any_bytes_are_refused_in_our_words(body: bytes, length: str | None) -> None:
    with pytest.raises(RuntimeFailed):
        rest.unpack_response(body, length)
    with pytest.raises(InvalidArgument):
        rest.unpack_request(body, length)
    with pytest.raises(RuntimeFailed):
        metadata.parse(body)
    assert rest.error_text(body)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
parts = st.fixed_dictionaries(
    {
        "name": st.text(max_size=4),
        "datatype": st.sampled_from([*DATATYPES.values(), "BYTES", "X"]) | anything,
        "shape": st.lists(st.integers(-2, 4), max_size=3) | st.lists(st.integers(), max_size=40) | anything,
    },
    optional={
        "data": anything,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-5, 100) | anything}
        ),
    },
)


@given(st.lists(parts, max_size=3), st.binary(max_size=40))
def test_hostile_tensors_are_read_or_refused(outputs: list[Any], raw: bytes) -> None:
    head = json.dumps({"outputs": outputs}).encode()
    try:
        found = rest.unpack_response(head + raw, str(len(head)))
    except RuntimeFailed:
        return
    for _, tensor in found:
        assert len(tensor.data) == byte_length(tensor.type, tensor.dims)


@given(st.lists(parts, max_size=3))
def test_hostile_metadata_are_read_or_refused(tensors: list[Any]) -> None:
    body = json.dumps({"name": "m", "inputs": tensors, "outputs": tensors}).encode()
    try:
        signature = metadata.parse(body)
    except RuntimeFailed:
        return
    assert len(signature.inputs) == len(tensors)


def test_metadata_become_a_signature() -> None:
    body = b"""{"name": "m", "versions": ["1"], "platform": "p",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": []}]}"""
    assert metadata.parse(body) == Signature(
        (TensorSpec("x", TensorType.F32, (None, 3)),), (TensorSpec("y", TensorType.I64, ()),)
    )


def test_metadata_of_strings_are_refused_with_what_would_do() -> None:
    body = b'{"name": "m", "inputs": [{"name": "x", "datatype": "BYTES", "shape": [1]}], "outputs": []}'
    with pytest.raises(RuntimeFailed, match="BYTES") as refused:
        metadata.parse(body)
    assert "FP32" in (refused.value.remedy or "")


def test_half_floats_have_no_json_form() -> None:
    with pytest.raises(UnsupportedOperation) as refused:
        rest.pack_request([("x", Tensor(TensorType.F16, (1,), b"\0\0"))], binary=False)
    assert "grpc" in (refused.value.remedy or "")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"data": [1.0]}, "1 values"),
        ({"data": [1.5, "2"]}, "str"),
        ({"data": [1.5, None]}, "NoneType"),
        ({"data": [[1], 2]}, "list"),
        ({"data": [True, 1]}, "bool"),
        ({"data": {"a": 1}}, "neither"),
        ({"datatype": "INT8", "data": [1, 128]}, "not INT8"),
        ({"datatype": "INT8", "data": [1, 1.5]}, "float"),
        ({"datatype": "UINT8", "data": [1, -1]}, "not UINT8"),
        ({"datatype": "BOOL", "data": [True, 1]}, "int"),
        ({"datatype": "FP16", "data": [1, 2]}, "raw bytes only"),
        ({"shape": [-1, 2], "data": [1, 2]}, "impossible"),
        ({"shape": [1] * 33, "data": [1]}, "impossible"),
        ({"shape": [2**62, 2**62], "data": [1, 2]}, "2 values"),
        ({"parameters": {"binary_data_size": 8}}, "claims 8 raw bytes"),
        ({"parameters": {"binary_data_size": -1}}, "claims -1 raw bytes"),
    ],
)
def test_a_wrong_tensor_is_explained(part: dict[str, Any], words: str) -> None:
    whole = {"name": "x", "datatype": "FP32", "shape": [2]} | part
    with pytest.raises(InvalidArgument, match=words):
        rest.unpack_request(json.dumps({"inputs": [whole]}).encode(), None)


def test_nested_data_are_row_major() -> None:
    body = {"outputs": [{"name": "y", "datatype": "INT32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}]}
    ((_, tensor),) = rest.unpack_response(json.dumps(body).encode(), None)
    assert bytes(tensor.data) == struct.pack("<4i", 1, 2, 3, 4)


def test_numbers_beyond_single_precision_are_infinite() -> None:
    body = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1e300]}]}
    ((_, tensor),) = rest.unpack_response(json.dumps(body).encode(), None)
    assert np.isinf(np.frombuffer(tensor.data, "<f4")).all()


def test_bytes_that_no_tensor_claims_are_refused() -> None:
    headers, body = rest.pack_request([("x", X)], binary=True)
    with pytest.raises(InvalidArgument, match="account for 8"):
        rest.unpack_request(body + b"more", headers[rest.HEADER_LENGTH])


def test_too_many_tensors_are_refused() -> None:
    one = {"name": "x", "datatype": "FP32", "shape": [0], "data": []}
    body = json.dumps({"outputs": [one] * (rest.MAX_TENSORS + 1)}).encode()
    with pytest.raises(RuntimeFailed) as refused:
        rest.unpack_response(body, None)
    assert str(rest.MAX_TENSORS) in (refused.value.cause or "")


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "+1", " 1", "²", "1e1", "", "1000"])
def test_a_strange_header_length_is_refused(length: str) -> None:
    with pytest.raises(RuntimeFailed):
        rest.unpack_response(b'{"outputs": []}', length)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "no such model"}', "no such model"),
        (b'{"error": {"code": 3}}', "{'code': 3}"),
        (b"<html>Bad gateway", "<html>Bad gateway"),
        (b"", "no text"),
        (b"\xff" * 2000, "�" * 500),
        (b"[" * 100_000, "[" * 500),
    ],
)
def test_the_words_of_an_error(body: bytes, text: str) -> None:
    assert rest.error_text(body) == text


def test_null_is_as_good_as_nothing() -> None:
    body = (
        b'{"model_name":null,"model_version":null,"id":null,"parameters":null,"outputs":'
        b'[{"name":"y","shape":[2],"datatype":"FP32","parameters":null,"data":[1.0,2.0]}]}'
    )
    ((name, tensor),) = rest.unpack_response(body, None)
    assert (name, tensor.dims, np.frombuffer(tensor.data, "<f4").tolist()) == ("y", (2,), [1.0, 2.0])
