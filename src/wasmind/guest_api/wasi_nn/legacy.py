"""The module name `wasi_nn`: the older ABI of WAMR's guests (`wasi_nn.h` and `wasi_nn_types.h` there).

Against `wasi_ephemeral_nn`: `load` takes a pointer to its builder array, `get_output` has one pointer to a
size that goes in and comes out, a tensor is three words (a pointer to its dimensions, its type, a pointer to
data as long as the dimensions say), and the types' numbers differ.
"""

from __future__ import annotations

from collections.abc import Awaitable
from math import prod
from struct import Struct
from typing import TYPE_CHECKING

from wasmind.errors import WasmindError
from wasmind.guest_api.wasi_nn import witx
from wasmind.nn import validation
from wasmind.nn.tensor import TensorType
from wasmind.sandbox import U32, Interface

if TYPE_CHECKING:
    from wasmind.guest_api.host import CommandHost
    from wasmind.sandbox import Guest

TYPES = (TensorType.F16, TensorType.F32, TensorType.U8, TensorType.I32)

_TENSOR = Struct("<IB3xI")  # pointer to (dims_ptr, dims_len), type, data_ptr
_ARRAY = Struct("<II")

nn = Interface("wasi_nn")

for _name in ("load_by_name", "init_execution_context", "compute"):
    _same = witx.nn[_name]
    nn.define(_name, _same.function, _same.parameters, _same.results, suspends=_same.suspends)


@nn.function("load", suspends=True)
def load(
    guest: Guest[CommandHost], builders: U32, encoding: U32, target: U32, out: U32
) -> U32 | Awaitable[U32]:
    """As `witx.load`, with a pointer to the builder array's pointer and length."""
    try:
        pointer, count = guest.memory.unpack(_ARRAY, builders)
        return witx.load_builders(guest, pointer, count, encoding, target, out)
    except WasmindError as error:
        return witx.errno(guest, "load", error)


@nn.function("set_input")
def set_input(guest: Guest[CommandHost], context: U32, index: U32, tensor: U32) -> U32:
    """As `witx.set_input`, with the older record."""
    try:
        found = guest.host.nn.context(context)
        memory = guest.memory
        array, number, data = memory.unpack(_TENSOR, tensor)
        dims, rank = memory.unpack(_ARRAY, array)
        validation.check_rank(rank)
        shape = memory.u32s(dims, rank)
        type_ = witx.tensor_type(number, TYPES)
        found.set_input(index, type_, shape, memory.view(data, prod(shape) * type_.size))
    except WasmindError as error:
        return witx.errno(guest, "set_input", error)
    return witx.SUCCESS


@nn.function("get_output")
def get_output(guest: Guest[CommandHost], context: U32, index: U32, buffer: U32, size: U32) -> U32:
    """As `witx.get_output`; `size` points to the buffer's length, which becomes the output's."""
    try:
        return witx.copy_output(guest, context, index, buffer, guest.memory.u32(size), size)
    except WasmindError as error:
        return witx.errno(guest, "get_output", error)
