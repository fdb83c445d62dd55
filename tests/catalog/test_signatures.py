from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.catalog.signatures import Signatures
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType

DIGEST = "ab" * 32
SPECS = st.builds(
    TensorSpec,
    st.text(),
    st.sampled_from(TensorType),
    st.none() | st.lists(st.integers(0, 1 << 40) | st.text() | st.none()).map(tuple),
)
SIGNATURES = st.builds(Signature, st.lists(SPECS).map(tuple), st.lists(SPECS).map(tuple))


@given(SIGNATURES)
def test_what_is_put_is_got(tmp_path_factory: pytest.TempPathFactory, signature: Signature) -> None:
    directory = tmp_path_factory.getbasetemp() / "signatures"
    Signatures(directory).put(DIGEST, "onnx", signature)
    assert Signatures(directory).get(DIGEST, "onnx") == signature


def test_each_runtime_says_its_own(tmp_path: Path) -> None:
    kept = Signatures(tmp_path)
    one = Signature((TensorSpec("x", TensorType.F32, ("N", 3)),), ())
    kept.put(DIGEST, "onnx", one)
    assert kept.get(DIGEST, "openvino") is None
    assert kept.get("cd" * 32, "onnx") is None


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"\x81\xa6format\x01", b"\x82\xa6format\x09\xa9signature\xc0"]
)
def test_a_damaged_entry_is_none(content: bytes, tmp_path: Path) -> None:
    kept = Signatures(tmp_path)
    kept.put(DIGEST, "onnx", Signature((), ()))
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert kept.get(DIGEST, "onnx") is None
    kept.put(DIGEST, "onnx", Signature((), ()))
    assert kept.get(DIGEST, "onnx") == Signature((), ())


@pytest.mark.parametrize("digest", ["", "../" + "a" * 61, "AB" * 32, "ab" * 33])
def test_a_digest_is_no_path(digest: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no SHA-256"):
        Signatures(tmp_path).get(digest, "onnx")
