"""The command line. Modules are imported by the command that needs them, so `wasmind --help` is quick."""
