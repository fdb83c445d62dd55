"""The kinds of programs that a function may be."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["cgi", "wasi-http", "wasi-cli"]
"""A core module that is a WASI command and speaks CGI; a component that handles HTTP requests; a component
that is a command and speaks CGI."""
