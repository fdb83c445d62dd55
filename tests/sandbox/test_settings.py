from __future__ import annotations

import pytest

from wasmind.sandbox import settings


def test_this_machine_has_room() -> None:
    room = settings.room()
    assert room.profile is settings.ROOMY
    assert settings.FEWEST_INSTANCES <= room.instances <= settings.MOST_INSTANCES


def test_few_mappings_mean_fewer_instances_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_mappings_allowed", lambda: 15_000)
    room = settings.room()
    assert room.instances == 2_000
    assert room.notes[0].startswith("room for 2000 guests at once, since vm.max_map_count is 15000")


def test_unlimited_mappings_need_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed in (None, 1 << 20):
        monkeypatch.setattr(settings, "_mappings_allowed", lambda allowed=allowed: allowed)
        room = settings.room(1_000)
        assert (room.instances, room.notes) == (1_000, ())


def test_a_smaller_address_space_means_fewer_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_mappings_allowed", lambda: None)
    monkeypatch.setattr(settings, "_reservable", lambda size: size < 8 << 40)
    room = settings.room(20_000)
    assert 1_000 <= room.instances < 2_048
    assert room.notes == (f"room for {room.instances} guests at once, since the address space ends there",)


def test_no_address_space_means_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_reservable", lambda size: False)
    room = settings.room()
    assert (room.profile, room.instances) == (settings.CRAMPED, 0)
    assert "no memory pool" in room.notes[0]


def test_reserving_is_tried_without_using_memory() -> None:
    assert settings._reservable(1 << 40)
    assert not settings._reservable(1 << 60)
    assert not settings._reservable(1 << 70)


def test_what_code_depends_on_is_described() -> None:
    described = {
        settings.describe(profile, stack) for profile in settings.PROFILES.values() for stack in (1, 2)
    }
    assert len(described) == 4
