"""How Wasmtime is configured: what compiled code depends on, and how large the pool can be on this
machine."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path
from typing import Final, NamedTuple

from wasmind.sandbox import ffi

_GIB: Final = 1 << 30
MOST_INSTANCES: Final = 20_000
"""How many guests one process may hold at once, where the machine allows it."""
FEWEST_INSTANCES: Final = 256
"""With room for fewer than this, memories are allocated on demand instead."""
MOST_MEMORY: Final = 4 * _GIB
WARM_INSTANCES: Final = 256
"""How many guests run in slots that stay resident: twice as fast, at up to `KEEP_RESIDENT` bytes for each
slot."""
KEEP_RESIDENT: Final = 128 << 10
MOST_MEMORIES: Final = 8
MOST_TABLES: Final = 16
TABLE_ELEMENTS: Final = 1_000_000
_HOST_STACK: Final = 1 << 20
_MAPPINGS_PER_INSTANCE: Final = 5  # two for its stack and the guard page, up to three for its memory
_MAPPINGS_SPARE: Final = 5_000
_SPACE_PER_INSTANCE: Final = 4 * _GIB + (128 << 20)  # a memory and its guard, two tables, a stack
_OFF = (
    "wasm_threads",
    "wasm_memory64",
    "wasm_gc",
    "gc_support",
    "wasm_exceptions",
    "wasm_stack_switching",
    "concurrency_support",
)


class Profile(NamedTuple):
    """What compiled code assumes of its memories; an artifact runs only under the profile it was compiled
    for.

    `roomy` reserves 4 GiB of address space for each memory, so that code needs no bounds checks and a memory
    never moves. `cramped` reserves nothing: for processes whose address space is limited.
    """

    name: str
    reservation: int
    guard: int
    growth: int
    moves: bool


ROOMY: Final = Profile("roomy", 4 * _GIB, 32 << 20, 0, moves=False)
CRAMPED: Final = Profile("cramped", 0, 64 << 10, 1 << 20, moves=True)
PROFILES: Final = {profile.name: profile for profile in (ROOMY, CRAMPED)}


class Room(NamedTuple):
    """What this process has room for: a profile, and how many instances the pool holds (0: no pool)."""

    profile: Profile
    instances: int
    notes: tuple[str, ...]


def room(most: int = MOST_INSTANCES) -> Room:
    """Find out, by the limits on address space and on the number of mappings, and by trying."""
    notes = []
    instances = most
    mappings = _mappings_allowed()
    if mappings is not None:
        fit = max(0, mappings - _MAPPINGS_SPARE) // _MAPPINGS_PER_INSTANCE
        if fit < instances:
            instances = fit
            notes.append(
                f"room for {fit} guests at once, since vm.max_map_count is {mappings}; "
                f"{_MAPPINGS_PER_INSTANCE * most + _MAPPINGS_SPARE} gives room for {most}"
            )
    wanted = instances
    while instances >= FEWEST_INSTANCES and not _reservable(instances * _SPACE_PER_INSTANCE):
        instances //= 2
    if instances < FEWEST_INSTANCES:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        why = f"limited to {limit >> 20} MiB" if limit != resource.RLIM_INFINITY else "too small"
        notes = [f"no memory pool, since the address space is {why}: guests start and run slower"]
        return Room(CRAMPED, 0, tuple(notes))
    if instances < wanted:
        notes.append(f"room for {instances} guests at once, since the address space ends there")
    return Room(ROOMY, instances, tuple(notes))


def _mappings_allowed() -> int | None:
    try:
        return int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _reservable(size: int) -> bool:
    try:
        mmap.mmap(
            -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0), prot=0
        ).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def describe(profile: Profile, stack: int) -> str:
    """Everything in the configuration that compiled code depends on, for the key of an artifact."""
    return f"{profile.name},{profile.reservation},{profile.guard},{stack},epoch,{','.join(_OFF)}"


def configure(profile: Profile, stack: int) -> int:
    """Make a `wasm_config_t`; the caller owns it. `stack` is what a guest may use of it, in bytes."""
    config: int = ffi.config_new()
    ffi.config_set(config, "epoch_interruption", 1)
    ffi.config_set(config, "memory_reservation", profile.reservation)
    ffi.config_set(config, "memory_guard_size", profile.guard)
    ffi.config_set(config, "memory_may_move", profile.moves)
    ffi.config_set(config, "memory_reservation_for_growth", profile.growth)
    ffi.config_set(config, "max_wasm_stack", stack)
    ffi.config_set(config, "async_stack_size", stack + _HOST_STACK)
    for feature in _OFF:
        ffi.config_set(config, feature, 0)
    return config


def use_pool(config: int, instances: int, keep_resident: int) -> None:
    """Allocate instances from a pool of fixed slots; a slot keeps `keep_resident` bytes of memory after its
    guest."""
    pool = ffi.pool_new()
    limits = {
        "total_core_instances": instances,
        "total_memories": instances,
        "total_tables": 2 * instances,
        "total_stacks": instances,
        "total_gc_heaps": 0,
        "max_memory_size": MOST_MEMORY,
        "table_elements": TABLE_ELEMENTS,
        "max_memories_per_module": MOST_MEMORIES,
        "max_tables_per_module": MOST_TABLES,
        "max_core_instance_size": 4 << 20,
        "linear_memory_keep_resident": keep_resident,
        "table_keep_resident": min(keep_resident, 16 << 10),
    }
    for name, value in limits.items():
        ffi.pool_set(pool, name, value)
    ffi.pool_use(config, pool)
    ffi.pool_delete(pool)
