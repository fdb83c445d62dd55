from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from wasmind.config import Limits, Size
from wasmind.errors import (
    InvalidArgument,
    InvalidEncoding,
    InvalidTensor,
    ModelNotFound,
    NnCode,
    TooLarge,
    UnsupportedOperation,
)
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph
from wasmind.nn.memory import TENSOR_COST
from wasmind.nn.session import MAX_NAME, MAX_TENSORS, Session
from wasmind.nn.tensor import TensorType

F32 = TensorType.F32
MODEL = onnx_models.linear()


@pytest.fixture
def backend() -> OnnxBackend:
    return OnnxBackend(MODEL)


@pytest.fixture
def models(backend: OnnxBackend) -> FixedModels:
    return FixedModels(linear=Graph("linear", backend))


@pytest.fixture
def session(models: FixedModels) -> Session:
    return Session(models, Limits(), "acme")


def named(session: Session, name: bytes | str = b"linear") -> int:
    handle = session.load_by_name(name)
    assert isinstance(handle, int)
    return handle


async def test_from_a_name_to_an_answer(session: Session, backend: OnnxBackend) -> None:
    context = session.context(session.init_execution_context(named(session)))
    context.set_input(0, F32, (1, 4), struct.pack("<4f", 1, 2, 3, 4))
    await context.compute()
    assert struct.unpack("<4f", context.output(0).data) == (3, 5, 7, 9)
    assert backend.tenants == ["acme"]
    assert session.timing.count == 1
    assert session.memory_used > 0
    session.close()
    assert session.memory_used == 0
    assert backend.held == 0


async def test_a_model_that_must_be_waited_for(session: Session, models: FixedModels) -> None:
    models.wait = True
    waiting = session.load_by_name("linear")
    assert not isinstance(waiting, int)
    assert session.graph(await waiting).name == "linear"


# --- names -----------------------------------------------------------------------------------------------


NO_NAMES = [
    b"",
    b"other-tenants-model",
    b"../linear",
    b"./linear",
    b"linear\0",
    b"lin\0ear",
    b"LINEAR",
    b"linear ",
    b"\xff\xfe",
    b"linear\xc3",
    "line\u03b1r".encode(),
    b"linear" + b"x" * MAX_NAME,
    b"linear" * 100_000,
]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: repr(name[:20]))
def test_what_is_no_model_is_not_found(session: Session, models: FixedModels, name: bytes) -> None:
    with pytest.raises(ModelNotFound) as caught:
        session.load_by_name(name)
    assert caught.value.nn_code is NnCode.NOT_FOUND
    assert caught.value.message == "no such model"
    assert len(models.asked) == 1  # every one of them takes the same way
    assert len(models.asked[0]) <= MAX_NAME + 1


@given(st.binary(max_size=400).filter(lambda name: name != b"linear"))
def test_any_bytes_are_a_name_that_is_not_there(name: bytes) -> None:
    session = Session(FixedModels(linear=Graph("linear", OnnxBackend(MODEL))), Limits(), "acme")
    with pytest.raises(ModelNotFound):
        session.load_by_name(name)


# --- handles ---------------------------------------------------------------------------------------------


def test_handles_are_typed(session: Session) -> None:
    graph = named(session)
    context = session.init_execution_context(graph)
    with pytest.raises(InvalidArgument, match="no execution context of this guest"):
        session.context(graph)
    with pytest.raises(InvalidArgument, match="no graph of this guest"):
        session.graph(context)
    with pytest.raises(InvalidArgument, match="no graph"):
        session.init_execution_context(context)
    with pytest.raises(InvalidArgument):
        session.drop_graph(context)
    with pytest.raises(InvalidArgument):
        session.drop_context(graph)


def test_handles_are_never_given_twice(session: Session) -> None:
    seen: set[int] = set()
    for _ in range(500):
        graph = named(session)
        context = session.init_execution_context(graph)
        assert not {graph, context} & seen
        seen |= {graph, context}
        session.drop_context(context)
        session.drop_graph(graph)
        with pytest.raises(InvalidArgument):
            session.context(context)
        with pytest.raises(InvalidArgument):
            session.graph(graph)
    assert all(0 < handle < 2**31 for handle in seen)


def test_guests_begin_at_different_places(models: FixedModels) -> None:
    first = [named(Session(models, Limits(), "acme")) for _ in range(50)]
    assert len(set(first)) == 50
    assert max(first) - min(first) > 10_000_000


@given(st.integers(-(2**63), 2**64))
def test_any_number_but_ones_own_resolves_to_nothing(number: int) -> None:
    session = Session(FixedModels(linear=Graph("linear", OnnxBackend(MODEL))), Limits(), "acme")
    own = session.load_by_name("linear")
    if number != own:
        with pytest.raises(InvalidArgument):
            session.graph(number)
    with pytest.raises(InvalidArgument):
        session.context(number)


def test_a_context_outlives_its_graphs_handle(session: Session) -> None:
    graph = named(session)
    context = session.init_execution_context(graph)
    session.drop_graph(graph)
    assert session.context(context).graph.name == "linear"


def test_nothing_resolves_after_the_end(session: Session) -> None:
    graph = named(session)
    context = session.init_execution_context(graph)
    session.close()
    session.close()
    for resolve, handle in ((session.graph, graph), (session.context, context)):
        with pytest.raises(InvalidArgument):
            resolve(handle)


# --- limits ----------------------------------------------------------------------------------------------


def test_graphs_are_counted(models: FixedModels) -> None:
    session = Session(models, Limits(nn_contexts=3), "acme")
    handles = [named(session) for _ in range(3)]
    with pytest.raises(TooLarge, match="more than 3 graphs"):
        session.load_by_name("linear")
    session.drop_graph(handles[0])
    named(session)


def test_contexts_are_counted(models: FixedModels) -> None:
    session = Session(models, Limits(nn_contexts=3), "acme")
    graph = named(session)
    contexts = [session.init_execution_context(graph) for _ in range(3)]
    with pytest.raises(TooLarge, match="more than 3 execution contexts") as caught:
        session.init_execution_context(graph)
    assert caught.value.cause == "a function may hold 3 at once"
    session.drop_context(contexts[1])
    session.init_execution_context(graph)


def test_tensors_of_all_contexts_share_one_limit(backend: OnnxBackend) -> None:
    wide = OnnxBackend(onnx_models.add())
    session = Session(FixedModels(add=Graph("add", wide)), Limits(nn_memory=Size(3000)), "acme")
    graph = session.load_by_name("add")
    assert isinstance(graph, int)
    contexts = [session.context(session.init_execution_context(graph)) for _ in range(4)]
    contexts[0].set_input(0, F32, (100, 3), bytes(1200))
    contexts[1].set_input(0, F32, (90, 3), bytes(1080))
    with pytest.raises(TooLarge):
        contexts[2].set_input(0, F32, (90, 3), bytes(1080))
    contexts[0].close()
    contexts[2].set_input(0, F32, (90, 3), bytes(1080))
    session.close()
    assert wide.held == 0
    assert session.memory_used == 0


# --- loading ---------------------------------------------------------------------------------------------


def test_loading_is_off_by_default(session: Session) -> None:
    with pytest.raises(UnsupportedOperation, match="may not load a model from bytes") as caught:
        session.check_load(1, 100)
    assert "allow_load" in str(caught.value.remedy)


@pytest.mark.parametrize("count", [0, 3, 1000, 2**32 - 1])
def test_only_one_or_two_builders_make_sense(session: Session, models: FixedModels, count: int) -> None:
    models.allow_load = True
    with pytest.raises(InvalidArgument, match=f"{count} builders"):
        session.check_load(count, 0)


def test_the_size_of_all_builders_is_limited(session: Session, models: FixedModels) -> None:
    models.allow_load = True
    limit = Limits().load_size
    session.check_load(2, limit)
    with pytest.raises(TooLarge, match=f"a model of {limit + 1} bytes"):
        session.check_load(2, limit + 1)


def test_loaded_graphs_are_counted_too(models: FixedModels) -> None:
    models.allow_load = True
    session = Session(models, Limits(nn_contexts=1), "acme")
    named(session)
    with pytest.raises(TooLarge, match="graphs"):
        session.check_load(1, 100)


@pytest.mark.parametrize("encoding", [Encoding.ONNX, Encoding.AUTODETECT, Encoding.OPENVINO])
async def test_bytes_become_a_graph(session: Session, models: FixedModels, encoding: Encoding) -> None:
    """OpenVINO reads ONNX too, so ONNX bytes may be called `openvino`."""
    models.allow_load = True
    handle = await session.load((MODEL,), encoding, Target.CPU)
    assert session.graph(handle).signature.inputs[0].name == "x"
    seen = Encoding.ONNX if encoding is Encoding.AUTODETECT else encoding
    assert models.loaded == [((MODEL,), seen, Target.CPU)]


@pytest.mark.parametrize("encoding", [Encoding.TENSORFLOWLITE, Encoding.GGML, Encoding.PYTORCH])
async def test_bytes_of_another_encoding_are_refused(
    session: Session, models: FixedModels, encoding: Encoding
) -> None:
    models.allow_load = True
    with pytest.raises(InvalidEncoding, match=f"these bytes are not {encoding}") as caught:
        await session.load((MODEL,), encoding, Target.CPU)
    assert caught.value.cause == "they look like onnx"
    assert models.loaded == []


@pytest.mark.parametrize("encoding", [Encoding.ONNX, Encoding.AUTODETECT])
async def test_bytes_that_are_no_model_are_refused(
    session: Session, models: FixedModels, encoding: Encoding
) -> None:
    models.allow_load = True
    with pytest.raises(InvalidEncoding):
        await session.load((b"hello, world",), encoding, Target.CPU)
    assert models.loaded == []


async def test_two_builders_are_for_openvino_alone(session: Session, models: FixedModels) -> None:
    models.allow_load = True
    for encoding in (Encoding.ONNX, Encoding.AUTODETECT):
        with pytest.raises(InvalidArgument, match="2 builders for onnx"):
            await session.load((MODEL, b"weights"), encoding, Target.CPU)
    assert models.loaded == []


async def test_a_target_that_is_not_there(session: Session, models: FixedModels) -> None:
    models.allow_load = True
    with pytest.raises(UnsupportedOperation):
        await session.load((MODEL,), Encoding.ONNX, Target.TPU)


# --- tensors by themselves --------------------------------------------------------------------------------


FOUR = struct.pack("<4f", 1, 2, 3, 4)


async def test_computing_with_names(session: Session, backend: OnnxBackend) -> None:
    context = session.init_execution_context(named(session))
    for name in ("x", "0"):
        handle = session.new_tensor(F32, (1, 4), FOUR)
        ((output, answer),) = await session.compute(context, [(name, handle)])
        assert output == "y"
        tensor = session.tensor(answer)
        assert (tensor.type, tensor.dims) == (F32, (1, 4))
        assert struct.unpack("<4f", tensor.data) == (3, 5, 7, 9)
    session.drop_context(context)
    assert backend.held == 0
    assert struct.unpack("<4f", session.tensor(answer).data) == (3, 5, 7, 9)  # it outlives its context


async def test_several_names_in_any_order() -> None:
    session = Session(FixedModels(add=Graph("add", OnnxBackend(onnx_models.add()))), Limits(), "acme")
    context = session.init_execution_context(named(session, "add"))
    x = session.new_tensor(F32, (1, 3), struct.pack("<3f", 1, 2, 3))
    y = session.new_tensor(F32, (1, 3), struct.pack("<3f", 4, 5, 6))
    answers = dict(await session.compute(context, [("y", y), ("x", x)]))
    assert struct.unpack("<3f", session.tensor(answers["z"]).data) == (5, 7, 9)
    assert struct.unpack("<3f", session.tensor(answers["w"]).data) == (4, 10, 18)
    with pytest.raises(InvalidArgument, match=r"without input 1 \(y: f32 \[N,3\]\)"):
        await session.compute(context, [("x", x)])  # what the call before set is not used
    with pytest.raises(InvalidArgument, match="given twice"):
        await session.compute(context, [("x", x), ("0", x), ("y", y)])
    with pytest.raises(InvalidArgument, match='no input "q"'):
        await session.compute(context, [("x", x), ("q", y)])
    assert dict(await session.compute(context, [("x", x), ("y", x)])).keys() == {"z", "w"}


def test_a_tensor_is_a_copy(session: Session) -> None:
    data = bytearray(FOUR)
    handle = session.new_tensor(F32, (1, 4), memoryview(data))
    data[:] = bytes(16)
    assert session.tensor(handle).data == FOUR


async def test_a_tensor_is_held_against_the_model_when_it_is_used(session: Session) -> None:
    context = session.init_execution_context(named(session))
    odd = session.new_tensor(F32, (7, 7), b"abc")
    assert session.tensor(odd).dims == (7, 7)
    with pytest.raises(InvalidTensor, match=r"expected f32 \[1,4\], got f32 \[7,7\] in 3 bytes"):
        await session.compute(context, [("x", odd)])
    with pytest.raises(InvalidTensor, match="rank 33"):
        session.new_tensor(F32, (1,) * 33, FOUR)


def test_tensors_are_typed_and_counted(session: Session) -> None:
    handle = session.new_tensor(F32, (1, 4), FOUR)
    for resolve in (session.graph, session.context):
        with pytest.raises(InvalidArgument):
            resolve(handle)
    with pytest.raises(InvalidArgument, match="no tensor of this guest"):
        session.tensor(handle + 1)
    assert session.memory_used == 16 + TENSOR_COST
    session.drop_tensor(handle)
    assert session.memory_used == 0
    with pytest.raises(InvalidArgument):
        session.drop_tensor(handle)


def test_tensors_are_limited_in_number_and_size(models: FixedModels) -> None:
    session = Session(models, Limits(), "acme")
    handles = [session.new_tensor(F32, (0,), b"") for _ in range(MAX_TENSORS)]
    with pytest.raises(TooLarge, match="more than 4096 tensors"):
        session.new_tensor(F32, (0,), b"")
    session.drop_tensor(handles[0])
    session.new_tensor(F32, (0,), b"")
    session.close()
    assert session.memory_used == 0
    small = Session(models, Limits(nn_memory=Size(1000)), "acme")
    small.new_tensor(F32, (100,), bytes(400))
    with pytest.raises(TooLarge, match="over the function's limit"):
        small.new_tensor(F32, (100,), bytes(400))


async def test_outputs_that_do_not_fit_leave_nothing_behind() -> None:
    backend = OnnxBackend(onnx_models.add())
    needed = 2 * (12 + TENSOR_COST)
    limits = Limits(
        nn_memory=Size(3 * needed + TENSOR_COST)
    )  # inputs, their copies, outputs, one copy of these
    session = Session(FixedModels(add=Graph("add", backend)), limits, "acme")
    context = session.init_execution_context(named(session, "add"))
    inputs = [(name, session.new_tensor(F32, (1, 3), bytes(12))) for name in "xy"]
    for _ in range(3):
        with pytest.raises(TooLarge):
            await session.compute(context, inputs)
        assert session.memory_used == 2 * needed
        assert backend.held == 2
    session.close()
    assert (session.memory_used, backend.held) == (0, 0)


def test_memory_beside_tensors_counts_and_is_freed_at_the_end() -> None:
    session = Session(FixedModels(), Limits(nn_memory=Size(100)), "acme")
    session.hold(60)
    with pytest.raises(TooLarge):
        session.hold(41)
    session.let_go(20)
    session.hold(60)
    assert session.memory_used == 100
    session.close()
    assert session.memory_used == 0
    session.let_go(50)  # who held it learns late that it is gone
    assert session.memory_used == 0
