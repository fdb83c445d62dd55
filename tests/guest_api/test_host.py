from __future__ import annotations

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from wasmind.config import Limits
from wasmind.guest_api.command import INTERFACES
from wasmind.guest_api.host import MAX_NOTE, MAX_NOTES, CommandHost
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.nn.tensor import TensorType


class Flushed(BytesSink):
    """Counts flushes."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def host(notes: list[str], models: FixedModels | None = None) -> CommandHost:
    session = Session(models or FixedModels(), Limits(), "acme")
    return CommandHost(Wasi(BytesSource(), Flushed(), Flushed()), session, notes.append)


def test_both_outputs_are_flushed_before_a_wait() -> None:
    made = host([])
    made.about_to_wait()
    assert (made.wasi.stdout.flushes, made.wasi.stderr.flushes) == (1, 1)  # type: ignore[attr-defined]


def test_notes_are_escaped_and_cut() -> None:
    notes: list[str] = []
    made = host(notes)
    made.note("\x1b[31mred\nline")
    made.note("x" * 100_000)
    assert notes == ["\\e[31mred\\nline", "x" * MAX_NOTE]


def test_notes_are_counted() -> None:
    notes: list[str] = []
    made = host(notes)
    for at in range(10_000):
        made.note(str(at))
    assert len(notes) == MAX_NOTES + 1
    assert notes[:MAX_NOTES] == [str(at) for at in range(MAX_NOTES)]


def test_closing_frees_what_the_guest_held() -> None:
    backend = OnnxBackend(onnx_models.linear())
    made = host([], FixedModels(linear=Graph("linear", backend)))
    graph = made.nn.load_by_name("linear")
    assert isinstance(graph, int)
    made.nn.context(made.nn.init_execution_context(graph)).set_input(0, TensorType.F32, (1, 4), bytes(16))
    assert backend.held == 1
    made.close()
    made.close()
    assert backend.held == 0


def test_the_environment_is_made_once_and_only_for_who_asks() -> None:
    made: list[int] = []

    def environ() -> list[bytes]:
        made.append(1)
        return [b"A=1"]

    wasi = Wasi(BytesSource(), BytesSink(), BytesSink(), (), environ)
    assert made == []
    assert wasi.environ == wasi.environ == [b"A=1"]
    assert made == [1]


def test_a_command_may_import_three_modules() -> None:
    assert [interface.module for interface in INTERFACES] == [
        "wasi_snapshot_preview1",
        "wasi_ephemeral_nn",
        "wasi_nn",
    ]
