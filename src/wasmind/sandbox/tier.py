"""Where instances come from: an engine of Wasmtime's with its pool, of which there are two.

The first, small tier keeps a little memory of each slot resident from one guest to the next, which makes a
small guest twice as fast. Guests beyond it, waiting by the thousand, get slots of the second tier, which give
all memory back.
"""

from __future__ import annotations

from wasmind.sandbox import ffi, settings


class Tier:
    """`capacity` instances at once (0: as many as memory allows), of which `live` exist."""

    __slots__ = ("capacity", "index", "live", "pointer")

    def __init__(
        self, index: int, profile: settings.Profile, stack: int, capacity: int, keep_resident: int
    ) -> None:
        config = settings.configure(profile, stack)
        if capacity:
            settings.use_pool(config, capacity, keep_resident)
        self.index = index
        self.capacity = capacity
        self.live = 0
        self.pointer: int = ffi.engine_new(config)

    def close(self) -> None:
        """Free it."""
        pointer, self.pointer = self.pointer, 0
        if pointer:
            ffi.engine_delete(pointer)


def tiers(room: settings.Room, stack: int) -> tuple[Tier, ...]:
    """Make the tiers that there is room for: the warm one and, beyond it, the cold one."""
    warm = min(settings.WARM_INSTANCES, room.instances)
    if not warm:
        return (Tier(0, room.profile, stack, 0, 0),)
    made = [Tier(0, room.profile, stack, warm, settings.KEEP_RESIDENT)]
    if room.instances > warm:
        made.append(Tier(1, room.profile, stack, room.instances - warm, 0))
    return tuple(made)
