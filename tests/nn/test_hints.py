from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.nn.hints import Came, hint
from wasmind.nn.signature import Dim, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.nn.validation import fits

F32, F64, F16, U8, I32, I64 = (
    TensorType.F32,
    TensorType.F64,
    TensorType.F16,
    TensorType.U8,
    TensorType.I32,
    TensorType.I64,
)
NCHW, NHWC = ("N", 3, 224, 224), (1, 224, 224, 3)


def why(
    want: TensorType,
    declared: tuple[Dim, ...] | None,
    got: TensorType,
    dims: tuple[int, ...],
    length: int = -1,
) -> str:
    found = hint(
        TensorSpec("x", want, declared), Came(got, dims, prod(dims) * got.size if length < 0 else length)
    )
    return f"{found.cause} | {found.remedy}"


@pytest.mark.parametrize(
    ("declared", "dims", "says"),
    [
        (
            NCHW,
            (1, 224, 224, 3),
            (
                "this looks like NHWC for an NCHW model | "
                "move the channels before height and width and send [1,3,224,224]"
            ),
        ),
        (
            NHWC,
            (1, 3, 224, 224),
            (
                "this looks like NCHW for an NHWC model | "
                "move the channels behind height and width and send [1,224,224,3]"
            ),
        ),
        (
            (3, 32, 64),
            (32, 64, 3),
            (
                "this looks like HWC for a CHW model | "
                "move the channels before height and width and send [3,32,64]"
            ),
        ),
        (
            NCHW,
            (224, 224, 3),
            "this looks like NHWC for an NCHW model, and the batch dimension is missing | ",
        ),
        (NCHW, (3, 224, 224), "the batch dimension is missing | send [1,3,224,224]; the bytes stay the same"),
        ((3, 4), (1, 3, 4), "there is one dimension too many in front | send [3,4]; the bytes stay the same"),
        ((3, 4), (4, 3), "it looks transposed | reorder the elements and send [3,4]"),
        (("N", 4), (4, 7), "it looks transposed | reorder the elements and send [7,4]"),
        ((2, 3, 4, 5, 6), (6, 5, 4, 3, 2), "these are the right dimensions in another order | "),
        ((3, 4), (12,), "the number of elements is right, the dimensions are not | send [3,4]"),
        ((3, 4), (2, 3, 4), "the model takes 2 dimensions, and 3 came | send f32 [3,4]"),
        ((3, 4), (3, 5), "dimension 1 must be 4, and is 5 | resize the input to f32 [3,4]"),
        (("N", 4), (0, 4), "a dimension is 0, so the tensor is empty | "),
    ],
)
def test_shapes(declared: tuple[Dim, ...], dims: tuple[int, ...], says: str) -> None:
    assert why(F32, declared, F32, dims).startswith(says)


@pytest.mark.parametrize(
    ("want", "got", "says"),
    [
        (
            F32,
            U8,
            "these look like raw bytes (pixels, say), and the model takes f32 | convert each byte to f32",
        ),
        (U8, F32, "the model takes u8 and scales by itself | send the raw values, one byte each: 12 bytes"),
        (F32, F64, "the precision differs: f64 has 8 bytes each | convert each element to f32"),
        (F16, F32, "the precision differs: f32 has 4 bytes each | convert each element to f16"),
        (I64, I32, "the model takes i64, not i32 | convert each element to i64 (8 bytes)"),
        (F32, I32, "the model takes f32, not i32 | convert each element to f32 (4 bytes)"),
    ],
)
def test_types(want: TensorType, got: TensorType, says: str) -> None:
    assert why(want, (3, 4), got, (3, 4)).startswith(says)


@pytest.mark.parametrize(("want", "got"), [(U8, I32), (F32, F64), (F16, F32), (I64, I32)])
def test_a_type_that_only_is_numbered_wrong(want: TensorType, got: TensorType) -> None:
    """WIT's u8 is 4, which is i32 in the core ABI: the bytes show what was meant."""
    found = why(want, (3, 4), got, (3, 4), 12 * want.size)
    assert found.startswith(
        f"the bytes have the length of {want} elements, so the type's number is probably wrong"
    )
    assert "f16 0, f32 1, f64 2, u8 3, i32 4, i64 5" in found


@pytest.mark.parametrize(
    ("length", "says"),
    [
        (47, "the data is one byte short | check the end of the buffer: off by one"),
        (49, "the data is one byte long"),
        (12, "12 is the number of elements | data_len counts bytes, not elements"),
        (96, "96 bytes are what 8-byte elements take | convert the elements to f32"),
        (24, "24 bytes are what 2-byte elements take"),
        (144, "3 times as much came | raise the batch dimension"),
        (40, "8 bytes are missing | send exactly 48 bytes"),
        (50, "2 bytes are too many | send exactly 48 bytes"),
    ],
)
def test_lengths(length: int, says: str) -> None:
    found = why(F32, (3, 4), F32, (3, 4), length)
    assert found.startswith("f32 [3,4] takes 48 bytes (12 * 4)")
    assert says in found


def test_type_and_shape_are_both_named() -> None:
    found = why(F32, NCHW, U8, (1, 224, 224, 3))
    assert "raw bytes" in found
    assert "NHWC for an NCHW model" in found


def test_a_very_high_rank_is_not_printed_out() -> None:
    came = Came(F32, (1,) * 32, 4)
    assert str(came) == "f32 of rank 32 in 4 bytes"


dims = st.one_of(st.integers(0, 6), st.sampled_from(["N", "M", None]))


@given(
    st.sampled_from(TensorType),
    st.one_of(st.none(), st.lists(dims, max_size=6).map(tuple)),
    st.sampled_from(TensorType),
    st.lists(st.integers(0, 6), max_size=6).map(tuple),
    st.integers(0, 2000),
)
def test_there_is_always_a_hint(
    want: TensorType, declared: tuple[Dim, ...] | None, got: TensorType, came: tuple[int, ...], length: int
) -> None:
    found = hint(TensorSpec("x", want, declared), Came(got, came, length))
    assert found.cause
    assert found.remedy


@given(
    st.lists(st.one_of(st.integers(1, 6), st.just("N")), min_size=1, max_size=5).map(tuple),
    st.permutations(range(5)),
    st.data(),
)
def test_the_shape_that_a_hint_proposes_fits(
    declared: tuple[Dim, ...], order: list[int], data: st.DataObject
) -> None:
    right = [dim if isinstance(dim, int) else data.draw(st.integers(1, 6)) for dim in declared]
    came = tuple(right[at] for at in order if at < len(right))
    if fits(declared, came):
        return
    remedy = hint(TensorSpec("x", F32, declared), Came(F32, came, 4 * prod(came))).remedy
    proposed = tuple(map(int, remedy.partition("send [")[2].partition("]")[0].split(",")))
    assert fits(declared, proposed)
    assert prod(proposed) == prod(came)


# --- the declaration that would convert it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("want", "declared", "got", "dims", "steps"),
    [
        (F32, NCHW, F32, (1, 224, 224, 3), '{ layout = "NHWC" }'),
        (F32, NCHW, F32, (224, 224, 3), '{ layout = "HWC" }, "add_batch"'),
        (F32, NCHW, F32, (3, 224, 224), '"add_batch"'),
        (F32, (3, 4), F32, (1, 3, 4), '"drop_batch"'),
        (F32, (3, 4), F16, (3, 4), '{ cast = "f16" }'),
        (I64, (3, 4), I32, (3, 4), '{ cast = "i32" }'),
        (F32, NCHW, U8, (1, 3, 224, 224), '{ cast = { type = "u8", scale = …, offset = … } }'),
        (
            F32,
            NCHW,
            U8,
            (1, 224, 224, 3),
            '{ cast = { type = "u8", scale = …, offset = … } }, { layout = "NHWC" }',
        ),
    ],
)
def test_the_declaration_is_named(
    want: TensorType, declared: tuple[Dim, ...], got: TensorType, dims: tuple[int, ...], steps: str
) -> None:
    found = why(want, declared, got, dims)
    assert found.endswith(f"; or declare convert = [{steps}] in [models.NAME.inputs.x]")


def test_the_declaration_that_is_named_does_it() -> None:
    """What a refusal says is read as configuration, planned for the model, and takes what was refused."""
    import re
    from pathlib import Path

    import msgspec

    from wasmind import config
    from wasmind.nn.signature import Signature
    from wasmind.worker.conversions.plan import Plan
    from wasmind.worker.spec import Conversions

    cases = [
        (F32, NCHW, F32, (1, 224, 224, 3)),
        (F32, NCHW, F32, (224, 224, 3)),
        (F32, NHWC, F32, (3, 224, 224)),
        (F32, NCHW, U8, (1, 224, 224, 3)),
        (F32, NCHW, U8, (224, 224, 3)),
        (F32, (3, 4), F16, (1, 3, 4)),
        (F32, ("N", 4), F64, (4,)),
    ]
    for want, declared, got, dims in cases:
        words = re.search(
            r"(convert = \[.*\]) in \[models\.NAME\.inputs\.x\]", why(want, declared, got, dims)
        )
        assert words, (declared, dims)
        table = msgspec.toml.decode(words[1].replace("…", "1.0"))
        read = config.parse({"models": {"m": {"path": "m", "inputs": {"x": table}}}}, Path("/"))
        inner = Signature((TensorSpec("x", want, declared),), ())
        outer = Plan(Conversions(inputs=read.models["m"].inputs), inner).signature.inputs[0]
        assert outer.type is got
        assert outer.dims is not None
        assert fits(outer.dims, dims), (declared, dims, outer)


def test_what_no_conversion_mends_names_none() -> None:
    assert "declare" not in why(F32, (3, 4), F32, (3, 5))
    assert "declare" not in why(F32, (3, 4), F16, (3, 5)), "a cast alone would not do"
    assert "declare" not in why(U8, (3, 4), F32, (3, 4))


def test_an_odd_name_is_quoted() -> None:
    found = hint(TensorSpec("x:0", F32, ("N", 3)), Came(F32, (3,), 12))
    assert 'in [models.NAME.inputs."x:0"]' in found.remedy


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"RIFF\0\0\0\0WEBP", "a WebP image"),
    ],
)
@pytest.mark.parametrize("declared", [NCHW, NHWC, (5000,)])
def test_a_file_for_an_image_names_the_conversion(head: bytes, words: str, declared: tuple[Dim, ...]) -> None:
    found = hint(TensorSpec("x", F32, declared), Came(U8, (5000,), 5000, head))
    assert found.cause.startswith(f"these bytes are {words} as it is in its file")
    assert found.remedy.startswith(
        'declare convert = ["image"] in [models.NAME.inputs.x], and send the file as u8 [5000]'
    )


def test_text_for_token_ids_names_the_conversion() -> None:
    found = hint(TensorSpec("input_ids", I64, ("N", "L")), Came(U8, (11,), 11, b"hello\nw\xc3\xb6rld"[:11]))
    assert found.cause == "this looks like text, and the model takes token ids"
    assert 'convert = [{ text = { tokenizer = "tokenizer.json" } }]' in found.remedy
    ids = hint(TensorSpec("input_ids", I64, ("N", "L")), Came(U8, (16,), 16, bytes(16)))
    assert "text" not in ids.cause


def test_an_input_that_the_node_converts_says_so() -> None:
    spec = TensorSpec("image", U8, ("image_bytes",))
    found = hint(spec, Came(F32, (1, 3, 224, 224), 602_112))
    assert found.cause.startswith("the node converts this input")
    short = hint(spec, Came(U8, (10,), 9))
    assert "one byte short" in short.cause


@given(st.binary(max_size=64))
def test_no_bytes_break_the_guess(head: bytes) -> None:
    found = hint(TensorSpec("x", I64, ("N", 3)), Came(U8, (max(1, len(head)),), len(head), head))
    assert found.cause
    assert found.remedy
