"""A component becomes a plan of core modules, fused into one; the canonical ABI carries its values."""
