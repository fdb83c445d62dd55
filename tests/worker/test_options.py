"""A text's options: WasmEdge's names and the field's, refused with what would do."""

from __future__ import annotations

import pytest

from wasmind.errors import InvalidArgument
from wasmind.worker.runtimes.options import MAX_STOPS, Options, Turn, read


def test_nothing_said_is_the_defaults() -> None:
    assert read() == read(b"", b" \n", b"\0") == read(b"{}") == Options()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"n-predict": 7}', Options(n_predict=7)),
        (b'{"n_predict": 7}', Options(n_predict=7)),
        (b'{"max_tokens": 7}', Options(n_predict=7)),
        (b'{"temp": 0}', Options(temp=0)),
        (b'{"temperature": 0.5}', Options(temp=0.5)),
        (b'{"top-k": 3, "top_p": 0.5, "min-p": 0}', Options(top_k=3, top_p=0.5, min_p=0)),
        (b'{"seed": 4294967295}', Options(seed=(1 << 32) - 1)),
        (b'{"reverse-prompt": "USER:"}', Options(stop="USER:")),
        (b'{"stop": ["a", "b"]}', Options(stop=("a", "b"))),
        (b'{"ctx-size": 64, "ignore-eos": true}', Options(ctx_size=64, ignore_eos=True)),
        (
            b'{"chat": true, "system": "Be short.", "history": [{"role": "user", "content": "Hi"}]}',
            Options(chat=True, system="Be short.", history=(Turn("user", "Hi"),)),
        ),
    ],
)
def test_it_is_read(text: bytes, expected: Options) -> None:
    assert read(text) == expected


def test_later_ones_win() -> None:
    assert read(b'{"temp": 1, "seed": 1}', b'{"temperature": 0}') == Options(temp=0, seed=1)


def test_what_is_the_operators_is_passed_over() -> None:
    options = b'{"enable-log": true, "n-gpu-layers": 99, "stream-stdout": true, "threads": 64, "temp": 0}'
    assert read(options) == Options(temp=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "no JSON object"),
        (b"{", "no JSON object"),
        (b"\xff", "no JSON object"),
        (b'{"a":' * 100_000, "no JSON object"),
        (b'{"temprature": 0}', "no option 'temprature'"),
        (b'{"temp": "hot"}', "cannot have"),
        (b'{"top-p": 2}', "cannot have"),
        (b'{"n-predict": -2}', "cannot have"),
        (b'{"seed": 4294967296}', "cannot have"),
        (b'{"repeat-penalty": 0}', "cannot have"),
        (b'{"history": [{"role": "root", "content": ""}]}', "cannot have"),
        (b'{"stop": "' + b"x" * 257 + b'"}', "too many or too long"),
        (b'{"stop": [' + b'"x",' * MAX_STOPS + b'"x"]}', "too many or too long"),
    ],
)
def test_what_means_nothing_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read(text)


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(b'{"temprature": 0}')
    assert "temp, top-k" in str(caught.value.remedy)
