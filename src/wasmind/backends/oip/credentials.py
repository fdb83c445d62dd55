"""What a node shows a server, and what it asks of one: bearer tokens and certificates, all from files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.errors import ConfigError, ModelUnavailable

if TYPE_CHECKING:
    from wasmind.config import KServe

MAX_TOKEN = 64 << 10


class Token:
    """A bearer token in a file. Tokens are short-lived: the file is looked at for each request."""

    __slots__ = ("_file", "_seen", "_value")

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._value = ""

    def header(self) -> str:
        """The value of `Authorization`. Raises ModelUnavailable if the file has no token."""
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
            if seen != self._seen:
                self._value, self._seen = self._read(), seen
        except (OSError, UnicodeDecodeError) as error:
            raise ModelUnavailable(f"the token file {self._file} cannot be read", cause=str(error)) from error
        return self._value

    def _read(self) -> str:
        with self._file.open(encoding="ascii") as file:
            token = file.read(MAX_TOKEN).strip()
        if not token or not token.isprintable():
            raise ModelUnavailable(f"the token file {self._file} holds no token")
        return f"Bearer {token}"


def tls(settings: KServe, *versions: str) -> ssl.SSLContext:
    """What `https` means for these servers, which are offered these versions of HTTP by ALPN names.

    Raises ConfigError for a file that is none.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
        context.set_alpn_protocols(versions)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(file) for file in (settings.ca, settings.cert, settings.key) if file)
        raise ConfigError(f"the certificates {files} cannot be used", cause=str(error)) from error
    return context
