"""Core modules as far as linking them needs: their types, imports, exports and sections."""
