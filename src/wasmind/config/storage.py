"""`[storage."PREFIX"]`: how places where models are kept are reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from wasmind.config.section import Section
from wasmind.errors import ConfigError

OBJECT_SCHEMES = ("s3", "gs", "az", "abfs")
"""Object stores that models may come from."""
SCHEMES = ("oci", "https", "http", *OBJECT_SCHEMES)


class Storage(Section, frozen=True):
    """Settings for every model whose `source` begins with the table's name."""

    options: dict[str, str] = {}
    """Of an object store, as obstore names them (`endpoint`, `region`, …); of a web server, headers."""
    secrets: Path | None = None
    """A TOML file with more options, those that nobody else may read: `secret_access_key`, `password`."""
    insecure: bool = False
    """Talk without TLS."""

    def all_options(self) -> dict[str, str]:
        """The options with the secret ones. Raises ConfigError."""
        if self.secrets is None:
            return dict(self.options)
        try:
            secret = msgspec.toml.decode(self.secrets.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            why: Any = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(
                f"the secrets in {self.secrets} cannot be read",
                cause=str(why),
                remedy='write one option a line: secret_access_key = "…"',
            ) from error
        return {**self.options, **secret}
