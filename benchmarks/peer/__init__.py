"""The peers that wasmind is measured beside, each installed from its packages into build/peers."""
