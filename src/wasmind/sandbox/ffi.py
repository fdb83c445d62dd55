"""Wasmtime's C API as this room uses it: prototypes with plain integers for pointers, and the layouts of its
values.

The shared library comes with the `wasmtime` package. Its Python classes are not used: they cost 60 ms to
import, and on the request path an integer passed as `c_void_p` is cheaper than a typed ctypes pointer.
Pointers returned are integers, 0 for none; whoever receives one owns it as the C header says.

Functions that may run guest code, compile, or touch many pages release the GIL; the short ones keep it, since
letting it go and taking it back costs more than they do.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import c_bool, c_char_p, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

PTR: Final = c_void_p
OUT: Final = c_size_t
"""A pointer that is returned: as an integer, never None."""

_MACHINES = {"arm64": "aarch64"}
_NAMES = {"darwin": "_libwasmtime.dylib"}


def library_path() -> Path:
    """Where the `wasmtime` package keeps its shared library. Raises ImportError."""
    spec = find_spec("wasmtime")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the package `wasmtime` is not installed")
    machine = os.uname().machine
    machine = _MACHINES.get(machine, machine)
    name = _NAMES.get(sys.platform, "_libwasmtime.so")
    path = Path(spec.submodule_search_locations[0]) / f"{sys.platform}-{machine}" / name
    if not path.is_file():
        raise ImportError(f"the package `wasmtime` has no library for {sys.platform} on {machine}")
    return path


def version() -> str:
    """The version of the `wasmtime` package, by its directory of metadata (asking `importlib` takes 40
    ms)."""
    found = sorted(library_path().parents[2].glob("wasmtime-*.dist-info"))
    return found[-1].name.removeprefix("wasmtime-").removesuffix(".dist-info") if found else "unknown"


_path = str(library_path())
_held = ctypes.PyDLL(_path)  # keeps the GIL
_freed = ctypes.CDLL(_path)  # releases it during the call


def _declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype, function.argtypes = result, arguments
    return function


def config_set(config: int, option: str, value: int) -> None:
    """Set one option of a `wasm_config_t` by its name in the C API; flags are 0 or 1, sizes are bytes."""
    kind = c_uint64 if option.startswith("memory_") and option not in _MEMORY_FLAGS else c_size_t
    _declare(_held, f"wasmtime_config_{option}_set", None, PTR, kind)(config, value)


_MEMORY_FLAGS = {"memory_may_move", "memory_init_cow"}


def pool_set(pool: int, option: str, value: int) -> None:
    """Set one limit of a `wasmtime_pooling_allocation_config_t` by its name in the C API."""
    _declare(_held, f"wasmtime_pooling_allocation_config_{option}_set", None, PTR, c_size_t)(pool, value)


# --- engine and configuration -------------------------------------------------------------------------------
config_new = _declare(_held, "wasm_config_new", OUT)
config_delete = _declare(_held, "wasm_config_delete", None, PTR)
pool_new = _declare(_held, "wasmtime_pooling_allocation_config_new", OUT)
pool_delete = _declare(_held, "wasmtime_pooling_allocation_config_delete", None, PTR)
pool_use = _declare(_held, "wasmtime_pooling_allocation_strategy_set", None, PTR, PTR)
engine_new = _declare(_freed, "wasm_engine_new_with_config", OUT, PTR)
engine_delete = _declare(_freed, "wasm_engine_delete", None, PTR)
increment_epoch = _declare(_held, "wasmtime_engine_increment_epoch", None, PTR)

# --- modules and linking ------------------------------------------------------------------------------------
module_new = _declare(_freed, "wasmtime_module_new", OUT, PTR, c_char_p, c_size_t, PTR)
module_delete = _declare(_freed, "wasmtime_module_delete", None, PTR)
module_serialize = _declare(_freed, "wasmtime_module_serialize", OUT, PTR, PTR)
module_deserialize_file = _declare(_freed, "wasmtime_module_deserialize_file", OUT, PTR, c_char_p, PTR)
linker_new = _declare(_held, "wasmtime_linker_new", OUT, PTR)
linker_delete = _declare(_held, "wasmtime_linker_delete", None, PTR)
_names = (c_char_p, c_size_t, c_char_p, c_size_t)
linker_define = _declare(
    _held, "wasmtime_linker_define_func_unchecked", OUT, PTR, *_names, PTR, PTR, PTR, PTR
)
linker_define_async = _declare(
    _held, "wasmtime_linker_define_async_func", OUT, PTR, *_names, PTR, PTR, PTR, PTR
)
linker_define_item = _declare(_held, "wasmtime_linker_define", OUT, PTR, PTR, *_names, PTR)
linker_instantiate = _declare(_held, "wasmtime_linker_instantiate_async", OUT, PTR, PTR, PTR, PTR, PTR, PTR)
linker_instantiate_pre = _declare(_freed, "wasmtime_linker_instantiate_pre", OUT, PTR, PTR, PTR)
instance_pre_delete = _declare(_freed, "wasmtime_instance_pre_delete", None, PTR)
_valtype_vec_new = _declare(_held, "wasm_valtype_vec_new", None, PTR, c_size_t, PTR)
valtype_new = _declare(_held, "wasm_valtype_new", OUT, c_uint8)
functype_new = _declare(_held, "wasm_functype_new", OUT, PTR, PTR)
functype_delete = _declare(_held, "wasm_functype_delete", None, PTR)
wat2wasm = _declare(_freed, "wasmtime_wat2wasm", OUT, c_char_p, c_size_t, PTR)

# --- one run ------------------------------------------------------------------------------------------------
store_new = _declare(_held, "wasmtime_store_new", OUT, PTR, PTR, PTR)
store_delete = _declare(_held, "wasmtime_store_delete", None, PTR)
store_context = _declare(_held, "wasmtime_store_context", OUT, PTR)
store_limiter = _declare(
    _held, "wasmtime_store_limiter", None, PTR, c_int64, c_int64, c_int64, c_int64, c_int64
)
store_on_epoch = _declare(_held, "wasmtime_store_epoch_deadline_callback", None, PTR, PTR, PTR, PTR)
set_epoch_deadline = _declare(_held, "wasmtime_context_set_epoch_deadline", None, PTR, c_uint64)
instantiate = _declare(_held, "wasmtime_instance_pre_instantiate_async", OUT, PTR, PTR, PTR, PTR, PTR)
export_get = _declare(_held, "wasmtime_instance_export_get", c_bool, PTR, PTR, c_char_p, c_size_t, PTR)
call = _declare(_held, "wasmtime_func_call_async", OUT, PTR, PTR, PTR, c_size_t, PTR, c_size_t, PTR, PTR)
call_nested = _declare(_freed, "wasmtime_func_call_unchecked", OUT, PTR, PTR, PTR, c_size_t, PTR)
future_poll = _declare(_freed, "wasmtime_call_future_poll", c_bool, PTR)
future_delete = _declare(_held, "wasmtime_call_future_delete", None, PTR)
memory_data = _declare(_held, "wasmtime_memory_data", OUT, PTR, PTR)
memory_size = _declare(_held, "wasmtime_memory_data_size", c_size_t, PTR, PTR)

# --- traps and errors ---------------------------------------------------------------------------------------
trap_new = _declare(_held, "wasmtime_trap_new", OUT, c_char_p, c_size_t)
trap_delete = _declare(_held, "wasm_trap_delete", None, PTR)
trap_code = _declare(_held, "wasmtime_trap_code", c_bool, PTR, PTR)
trap_message = _declare(_held, "wasm_trap_message", None, PTR, PTR)
trap_trace = _declare(_held, "wasm_trap_trace", None, PTR, PTR)
error_new = _declare(_held, "wasmtime_error_new", OUT, c_char_p)
error_delete = _declare(_held, "wasmtime_error_delete", None, PTR)
error_message = _declare(_held, "wasmtime_error_message", None, PTR, PTR)
error_trace = _declare(_held, "wasmtime_error_wasm_trace", None, PTR, PTR)
frame_vec_delete = _declare(_held, "wasm_frame_vec_delete", None, PTR)
frame_func_index = _declare(_held, "wasm_frame_func_index", c_uint32, PTR)
frame_module_offset = _declare(_held, "wasm_frame_module_offset", c_size_t, PTR)
frame_func_name = _declare(_held, "wasmtime_frame_func_name", OUT, PTR)
byte_vec_delete = _declare(_held, "wasm_byte_vec_delete", None, PTR)


class Vec(ctypes.Structure):
    """`wasm_*_vec_t`: a length and a pointer to the elements."""

    _fields_ = [("size", c_size_t), ("data", c_size_t)]


@lru_cache
def buffer(size: int) -> type[ctypes.Array[ctypes.c_char]]:
    """The type of a buffer. Types are made once: they are dear, and freed by the garbage collector alone."""
    return ctypes.c_char * size


@lru_cache
def pointers(count: int) -> type[ctypes.Array[c_size_t]]:
    """The type of an array of pointers, made once like a buffer's."""
    return c_size_t * count


def address(item: ctypes.Structure) -> int:
    """Where C finds it; it must be kept as long as C may look."""
    return ctypes.addressof(item)


def take_bytes(vec: Vec) -> bytes:
    """Copy a byte vector that C filled, and free it."""
    data = ctypes.string_at(vec.data, vec.size) if vec.size else b""
    byte_vec_delete(ctypes.addressof(vec))
    return data


def view(vec: Vec) -> memoryview:
    """Look at a byte vector in place; it is freed with the process."""
    return memoryview((ctypes.c_char * vec.size).from_address(vec.data)).cast("B")


def take_error(error: int) -> str:
    """Read a `wasmtime_error_t`'s message, and free it."""
    vec = Vec()
    error_message(error, ctypes.addressof(vec))
    error_delete(error)
    return take_bytes(vec).decode("utf-8", "replace")


def functype(parameters: tuple[int, ...], results: tuple[int, ...]) -> int:
    """Make a `wasm_functype_t` from kinds (0 i32, 1 i64, 2 f32, 3 f64); the caller owns it."""
    vecs = []
    for kinds in (parameters, results):
        types = pointers(len(kinds))(*(valtype_new(kind) for kind in kinds))
        vec = Vec()
        _valtype_vec_new(ctypes.addressof(vec), len(kinds), ctypes.addressof(types))
        vecs.append(vec)
    made: int = functype_new(*(ctypes.addressof(vec) for vec in vecs))
    return made


# --- layouts ------------------------------------------------------------------------------------------------
RAW_SIZE: Final = 16
"""`wasmtime_val_raw_t`: the value is at its beginning."""
VAL_SIZE: Final = 32
"""`wasmtime_val_t`: a kind byte, then the value at `VAL_OFFSET`."""
VAL_OFFSET: Final = 8
EXTERN_SIZE: Final = 32
"""`wasmtime_extern_t`: a kind byte, then the item at `EXTERN_OFFSET`."""
EXTERN_OFFSET: Final = 8
EXTERN_FUNC: Final = 0
EXTERN_MEMORY: Final = 3
CONTINUE: Final = 0
YIELD: Final = 1
"""What an epoch callback answers (`wasmtime_update_deadline_kind_t`)."""

SyncCallback = ctypes.CFUNCTYPE(c_size_t, c_size_t, c_size_t, c_size_t, c_size_t)
"""`wasmtime_func_unchecked_callback_t`: (env, caller, values, number of values) → trap or 0."""
AsyncCallback = ctypes.CFUNCTYPE(
    None, c_size_t, c_size_t, c_size_t, c_size_t, c_size_t, c_size_t, c_size_t, c_size_t
)
"""`wasmtime_func_async_callback_t`: (env, caller, args, n, results, n, trap out, continuation out)."""
Continuation = ctypes.CFUNCTYPE(c_bool, c_size_t)
"""`wasmtime_func_async_continuation_callback_t`: (env) → whether the call is finished."""
EpochCallback = ctypes.CFUNCTYPE(c_size_t, c_size_t, c_size_t, c_size_t, c_size_t)
"""(context, data, delta out, kind out) → error or 0."""

flag_is_set: int = ctypes.cast(ctypes.CDLL(None).strlen, c_void_p).value or 0
"""A C function's address to use as a continuation: `strlen` of a flag that is b"\\0" (waiting, 0) or
b"\\1\\0" (done, 1).

Python runs when a wait begins and when its result is there; asking in between, and resuming, stay in native
code.
"""
