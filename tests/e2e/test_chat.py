"""The example `chat` as an operator serves it: an answer reaches the client while the model writes it."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from support.commands import wasmind
from support.gguf_models import smollm2, tiny
from support.guests import ROOT, build_c
from support.languages import use
from support.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "chat"
NODE = "[node]\nworkers = 1\nports = { functions = 0, api = 0 }\n\n"


def serve(directory: Path, model: Path) -> Iterator[NodeProcess]:
    """The example's own configuration, on free ports, with another model under the model's name."""
    # Built without the README's flag, its stack alone has 16 MiB.
    settings = (EXAMPLE / "wasmind.toml").read_text().replace("16MiB", "32MiB")
    (directory / "wasmind.toml").write_text(NODE + settings)
    (directory / "chat.wasm").write_bytes(build_c(EXAMPLE / "chat.c"))
    (directory / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(model)
    node = NodeProcess(directory)
    try:
        yield node.await_ready()
    finally:
        node.stop()


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("chat")
    yield from serve(directory, tiny(directory / "tiny.gguf", context=1024))


def pieces(node: NodeProcess, question: bytes, path: str = "/chat") -> tuple[int, list[bytes]]:
    """The status, and the answer in the pieces in which it came."""
    with closing(
        http.client.HTTPConnection(urlsplit(node.status().functions_url).netloc, timeout=60)
    ) as client:
        client.request("POST", path, question)
        answer = client.getresponse()
        return answer.status, list(iter(lambda: answer.read1(65536), b""))


def test_an_answer_comes_in_pieces(chat: NodeProcess) -> None:
    status, came = pieces(chat, b"hello", "/chat?n=40")
    assert status == 200
    assert len(came) > 3
    assert b"broke off" not in b"".join(came)


def test_a_client_that_leaves_frees_the_model(chat: NodeProcess) -> None:
    netloc = urlsplit(chat.status().functions_url).netloc
    for _ in range(6):  # more than there are places
        client = http.client.HTTPConnection(netloc, timeout=60)
        client.request("POST", "/chat?n=500", b"tell me a long story")
        client.getresponse().read(1)
        client.close()
    assert pieces(chat, b"hello")[0] == 200


def test_what_cannot_be_answered_is_said(chat: NodeProcess) -> None:
    assert pieces(chat, b"")[0] == 400
    assert pieces(chat, b"x" * 9000)[0] == 413
    status, said = pieces(chat, b"x" * 1000)
    assert (status, said) == (413, [b"The question is too long for the model.\n"])


@pytest.mark.slow
def test_tokens_are_counted(chat: NodeProcess) -> None:
    pieces(chat, b"hello")
    chat.until(lambda: 'wasmind_generated_tokens_total{model="assistant"' in metrics(chat))
    assert 'wasmind_prompt_tokens_total{model="assistant",scope="shared"}' in metrics(chat)


def metrics(node: NodeProcess) -> str:
    return node.api("/metrics").text


@pytest.mark.slow
def test_a_real_model_answers(tmp_path: Path) -> None:
    for node in serve(tmp_path, smollm2()):
        status, came = pieces(node, b"What is the capital of France?")
        assert (status, b"".join(came)) == (200, b"The capital of France is Paris.\n")
        assert len(came) > 3


@pytest.mark.slow
def test_the_same_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("python", monkeypatch)
    settings = (EXAMPLE / "python.toml").read_text()
    (tmp_path / "wasmind.toml").write_text(NODE + settings)
    (tmp_path / "chat.py").write_bytes((EXAMPLE / "chat.py").read_bytes())
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(smollm2())
    built = wasmind("build", "--json", cwd=tmp_path, seconds=600)
    assert built.code == 0, built.err + built.out
    node = NodeProcess(tmp_path)
    try:
        node.until(lambda: node.status().phase == "ready", 180)
        status, came = pieces(node, b"What is the capital of France?")
        assert (status, b"".join(came)) == (200, b"The capital of France is Paris.")
        assert len(came) > 3
        assert pieces(node, b"")[0] == 400
    finally:
        node.stop()
