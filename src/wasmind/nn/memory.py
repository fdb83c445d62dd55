"""What one guest's tensors may take on the host."""

from __future__ import annotations

import msgspec

from wasmind.errors import TooLarge

TENSOR_COST = 256
"""Bytes that a tensor counts for beside its data, so that empty ones are not free."""


class Memory(msgspec.Struct, gc=False):
    """The bytes that one guest's tensors take on the host."""

    limit: int
    used: int = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes. Raises TooLarge when they are too many."""
        if self.used + size > self.limit:
            raise TooLarge(
                f"{size} more bytes of tensors would be over the function's limit",
                cause=f"{self.used} of {self.limit} bytes are in use",
                remedy="close contexts that are done with, or raise limits.nn_memory",
            )
        self.used += size

    def free(self, size: int) -> None:
        """Count `size` bytes no more."""
        self.used -= size
