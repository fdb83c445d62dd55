"""wasi-nn for guests: one file per ABI, all of them translating to `wasmind.nn.session`."""
