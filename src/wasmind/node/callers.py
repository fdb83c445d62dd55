"""Who may call the inference ports: what the configuration's tenants mean, their tokens read."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from wasmind.errors import ConfigError
from wasmind.node.messages import CallerEntry, InferenceEntry, NamedModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from wasmind.catalog.model import ModelRecord
    from wasmind.config import Config, Tenant

ANONYMOUS = "default"
"""The tenant of callers without a token."""
MAX_TOKENS = 100_000
_DIGEST = re.compile(r"([0-9A-Fa-f]{64})(?:\s.*)?\Z", re.ASCII)


def serves_inference(config: Config) -> bool:
    """Whether anybody may call: a tenant with tokens, or, in dev mode on loopback, everybody."""
    return _open(config) or any(tenant.tokens_file for tenant in config.tenants.values())


def read_callers(
    config: Config, models: Collection[ModelRecord], ids: Mapping[str, str]
) -> InferenceEntry | None:
    """What the inference process serves, None for nothing; `ids`: what is served for each record.

    Reads the files of tokens. Raises ConfigError.
    """
    if not serves_inference(config):
        return None
    callers = tuple(_caller(name, tenant, models, ids) for name, tenant in config.tenants.items())
    _check_unique(callers)
    everybody = CallerEntry(
        tenant=ANONYMOUS,
        models=_named(ANONYMOUS, None, models, ids),
        manage=True,
        concurrency=config.inference.concurrency,
    )
    return InferenceEntry(
        callers=callers,
        anonymous=everybody if _open(config) else None,
        request_body=int(config.inference.request_body),
        body_stall_ms=config.inference.body_stall_ms,
        concurrency=config.inference.concurrency,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _open(config: Config) -> bool:
    return config.node.dev and is_loopback(config.node.host) and not config.tenants


def _caller(
    name: str, tenant: Tenant, models: Collection[ModelRecord], ids: Mapping[str, str]
) -> CallerEntry:
    return CallerEntry(
        tenant=name,
        tokens=_tokens(name, tenant.tokens_file) if tenant.tokens_file else (),
        models=_named(name, tenant.models, models, ids),
        manage=tenant.manage,
        concurrency=tenant.concurrency,
    )


def _named(
    tenant: str, wanted: Collection[str] | None, models: Iterable[ModelRecord], ids: Mapping[str, str]
) -> tuple[NamedModel, ...]:
    usable = [record for record in models if record.usable_by(tenant)]
    names = {record.name for record in usable}
    for name in wanted or ():
        if name not in names:
            raise ConfigError(
                f"tenants.{tenant}: there is no model {name!r} for this tenant",
                cause=f"it may name: {', '.join(sorted(names)) or 'none'}",
                remedy=f"add [models.{name}], with `scope` left out or set to {tenant!r}",
            )
    return tuple(
        NamedModel(
            name=record.name,
            version=str(record.version or 1),
            references=record.names,
            id=ids[record.id],
        )
        for record in usable
        if wanted is None or record.name in wanted
    )


def _tokens(tenant: str, file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"tenants.{tenant}: the file of tokens {file} cannot be read", cause=str(error)
        ) from error
    found: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        digest = _DIGEST.match(text)
        if digest is None or len(found) >= MAX_TOKENS:
            raise ConfigError(
                f"tenants.{tenant}: line {number} of {file} is no SHA-256 of a token",
                cause="a line is 64 hexadecimal digits; what follows a space is a comment",
                remedy="write it with: printf %s TOKEN | sha256sum",
            )
        found.append(digest[1].lower())
    return tuple(found)


def _check_unique(callers: Iterable[CallerEntry]) -> None:
    owners: dict[str, str] = {}
    for caller in callers:
        for token in caller.tokens:
            other = owners.setdefault(token, caller.tenant)
            if other != caller.tenant:
                raise ConfigError(
                    f"the tenants {other!r} and {caller.tenant!r} have the same token",
                    remedy="give each tenant tokens of its own",
                )
