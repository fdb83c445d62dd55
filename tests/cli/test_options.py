"""Where commands find the configuration, the state and the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmind.cli.options import DEFAULT, cache_of, read, read_if_there, state_of
from wasmind.errors import ConfigError


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_default_file_need_not_be_there_for_those_who_can_do_without(inside: Path) -> None:
    assert read_if_there(DEFAULT).models == {}
    with pytest.raises(ConfigError):
        read(DEFAULT)
    with pytest.raises(ConfigError):
        read_if_there(Path("other.toml"))


def test_programs_are_kept_with_the_node_or_in_the_users_cache(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_of(DEFAULT, read_if_there(DEFAULT)) == Path("/cache/wasmind")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_of(DEFAULT, read_if_there(DEFAULT)) == Path.home() / ".cache" / "wasmind"
    DEFAULT.write_text('[node]\nstate = "there"\n')
    assert cache_of(DEFAULT, read(DEFAULT)) == inside / "there" / "cache"


def test_a_running_node_is_found_though_its_file_is_broken_now(inside: Path) -> None:
    DEFAULT.write_text('[node]\nstate = "there"\n')
    assert state_of(DEFAULT) == inside / "there"
    DEFAULT.write_text("[node")
    with pytest.raises(ConfigError):
        state_of(DEFAULT)
    (inside / ".wasmind").mkdir()
    (inside / ".wasmind" / "lock").touch()
    assert state_of(DEFAULT) == Path(".wasmind")
