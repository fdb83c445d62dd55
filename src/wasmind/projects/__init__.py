"""Functions from their sources: new projects, and the languages' own toolchains.

A project is a directory with a `wasmind.toml`; a function that has a `source` there can be built.
"""
