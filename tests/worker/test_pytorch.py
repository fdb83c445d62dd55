"""PyTorch behind the worker's interface: signatures, types, state, shared inputs, its words in short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support import torchscript_models as programs
from support.frameworks import needs
from support.workers import spec_of
from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs("pytorch"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

F32 = TensorType.F32


def load(data: bytes, directory: Path, declared: Signature | None = None, **settings: Any) -> Any:
    from wasmind.worker.runtimes.pytorch import Runtime

    path = directory / "model.pt"
    path.write_bytes(data)
    spec = spec_of(path, runtime="pytorch", encoding="pytorch", declared=declared, **settings)
    return Runtime().load(spec)


def scripted(directory: Path, module: Any) -> bytes:
    import torch

    torch.jit.save(torch.jit.script(module.eval()), directory / "saved.pt")
    return (directory / "saved.pt").read_bytes()


def inputs(*dims: Any, kind: TensorType = F32) -> Signature:
    return Signature((TensorSpec("x", kind, dims),), ())


def test_nothing_declared_means_f32_of_any_shape(tmp_path: Path) -> None:
    made = load(programs.model("linear"), tmp_path)
    assert made.signature == Signature((TensorSpec("x", F32, None),), (TensorSpec("output_0", F32, None),))
    (y,) = made.execution().run([np.ones((2, 3), np.float32)], [None])
    assert y.tolist() == [[3.0] * 3] * 2


def test_the_file_may_declare_it(tmp_path: Path) -> None:
    made = load(programs.model("linear", signature=programs.LINEAR), tmp_path)
    assert made.signature.outputs == (TensorSpec("y", F32, (1, 4)),)


def test_the_operators_word_counts_more(tmp_path: Path) -> None:
    made = load(programs.model("linear", signature=programs.LINEAR), tmp_path, inputs("N", 7))
    assert made.signature.inputs == (TensorSpec("x", F32, ("N", 7)),)


@pytest.mark.parametrize("extra", [[], {"inputs": [{"name": 3}]}, "x" * (2 << 20)])
def test_a_broken_declaration_is_explained(tmp_path: Path, extra: Any) -> None:
    with pytest.raises(ModelLoadFailed, match=r"signature\.json is no signature") as caught:
        load(programs.model("linear", signature=extra), tmp_path)
    assert "inputs" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("program", "declared", "expected"),
    [
        ("linear", inputs("N", 4), [("output_0", F32, ("N", 4))]),
        ("linear", inputs(2, 4), [("output_0", F32, (2, 4))]),
        ("linear", inputs("N", "T"), [("output_0", F32, (None, None))]),
        ("linear", inputs("N", 4, kind=TensorType.I64), [("output_0", TensorType.I64, ("N", 4))]),
        ("sum", inputs("N", 4), [("output_0", F32, ())]),
        (
            "two",
            inputs("N", 4),
            [("output_0", F32, ("N", 4)), ("output_1", TensorType.I64, ("N",))],
        ),
        ("named", inputs("N", 4), [("double", F32, ("N", 4)), ("index", TensorType.I64, ("N",))]),
    ],
)
def test_a_run_tells_the_outputs(
    tmp_path: Path, program: str, declared: Signature, expected: list[tuple[Any, ...]]
) -> None:
    made = load(programs.model(program), tmp_path, declared)
    assert made.signature.outputs == tuple(TensorSpec(*one) for one in expected)
    x = np.ones([2 if isinstance(dim, str) else dim for dim in declared.inputs[0].dims or ()])
    x = x.astype(DTYPES[declared.inputs[0].type])
    assert len(made.execution().run([x], [None] * len(expected))) == len(expected)


def test_what_no_run_tells_must_be_declared(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="made-up inputs") as caught:
        load(programs.model("refuses"), tmp_path, inputs("N", 4))
    assert "three is the most" in (caught.value.cause or "")
    with pytest.raises(ModelLoadFailed, match="does not tell how many") as caught:
        load(programs.model("named"), tmp_path)
    assert 'name = "x"' in (caught.value.remedy or "")
    with pytest.raises(ModelLoadFailed, match="has 2 inputs, and the model takes 1"):
        load(programs.model("linear"), tmp_path, Signature(inputs(1).inputs * 2, ()))


@pytest.mark.parametrize("arguments", ["x: List[Tensor]", "x: Tensor, name: str", "x: Dict[str, Tensor]"])
def test_what_no_tensor_can_be_is_refused(tmp_path: Path, arguments: str) -> None:
    data = programs.archive(programs.program("return torch.ones([1])", arguments))
    with pytest.raises(ModelLoadFailed, match="no wasi-nn tensor can be"):
        load(data, tmp_path)


def test_numbers_are_scalars_and_defaults_stay(tmp_path: Path) -> None:
    body = "return torch.add(torch.mul(x, scale), shift)"
    data = programs.archive(programs.program(body, "x: Tensor, scale: float, shift: int=1"))
    made = load(data, tmp_path)
    assert made.signature.inputs[1] == TensorSpec("scale", TensorType.F64, ())
    (y,) = made.execution().run([np.ones(2, np.float32), np.array(3.0)], [None])
    assert y.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("kind", list(TensorType), ids=str)
def test_every_element_type_goes_through(tmp_path: Path, kind: TensorType) -> None:
    data = programs.archive(programs.program("return torch.reshape(x, [-1, 3])"))
    made = load(data, tmp_path, Signature(inputs("N", 3, kind=kind).inputs, ()))
    assert made.signature.outputs[0].type is kind
    x = np.random.default_rng(0).integers(0, 2, (2, 3)).astype(DTYPES[kind])
    for place in (None, np.empty_like(x)):
        (y,) = made.execution().run([x], [place])
        assert y.dtype == x.dtype
        assert y.tobytes() == x.tobytes()
        assert place is None or y is place


def test_results_are_bit_equal_to_the_framework_called_directly(tmp_path: Path) -> None:
    import torch

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    made = load(scripted(tmp_path, net), tmp_path, inputs("N", 3, 8, 8))
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(x)).numpy()
    for _ in range(3):  # PyTorch optimises a program in its first runs
        (y,) = made.execution().run([x], [None])
        assert y.tobytes() == expected.tobytes()


def test_what_a_run_leaves_behind_the_next_does_not_see(tmp_path: Path) -> None:
    import torch

    class Counter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(2))
            self.last = torch.zeros(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.total += x
            self.last = self.last + x
            return self.total + self.last

    made = load(scripted(tmp_path, Counter()), tmp_path)
    assert made.remembers
    execution = made.execution()
    for _ in range(3):
        assert execution.run([np.ones(2, np.float32)], [None])[0].tolist() == [2.0, 2.0]


def test_what_the_caller_sent_stays_as_it_is(tmp_path: Path) -> None:
    data = programs.archive(programs.program("_0 = torch.add_(x, 1)\n    return _0"))
    made = load(data, tmp_path)
    assert not made.remembers
    x = np.ones(2, np.float32)
    assert made.execution().run([x], [None])[0].tolist() == [2.0, 2.0]
    assert x.tolist() == [1.0, 1.0]


def test_its_words_are_short(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        load(programs.model("image"), tmp_path).execution().run([np.ones((1, 4, 8, 8), np.float32)], [None])
    assert "expected input[1, 4, 8, 8] to have 3 channels" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert "(at return torch.conv2d(x, torch.ones([1, 3, 3, 3])))" in str(caught.value)


def test_an_output_of_another_type_is_an_error(tmp_path: Path) -> None:
    execution = load(programs.model("two"), tmp_path).execution()
    with pytest.raises(ValueError, match=r"'output_1' holds torch\.int64 elements; declared is f32"):
        execution.run([np.ones((1, 4), np.float32)], [None, None])
    assert execution.abort() is False


def test_what_is_tried_on_a_device_is_right_on_the_one_that_is_there() -> None:
    from wasmind.worker.runtimes import pytorch

    pytorch._try("cpu")
    with pytest.raises(RuntimeError):  # a device without memory
        pytorch._try("meta")


def test_tensors_go_to_the_module_and_come_back(tmp_path: Path) -> None:
    """`meta` is a device that takes what is sent to it, and has nothing to give back."""
    import torch

    from wasmind.worker.runtimes.pytorch import TorchModel

    module = torch.jit.load(programs.write(tmp_path, "linear"))
    with pytest.raises(RuntimeError, match="meta"):
        TorchModel(module.to("meta"), None, "meta").execution().call([np.ones((1, 4), np.float32)])
