from __future__ import annotations

import errno
import os
import resource
import threading
import time

import pytest

from wasmind.sandbox.alarm import Alarm


def test_it_goes_off_once_so_long_after_it_was_set() -> None:
    alarm = Alarm()
    began = time.monotonic()
    alarm.set(30_000_000)
    alarm.wait()
    assert time.monotonic() - began >= 0.03
    again = threading.Thread(target=alarm.wait, daemon=True)
    again.start()
    again.join(0.1)
    assert again.is_alive(), "it is not set"
    alarm.set(1)
    again.join(10)
    assert not again.is_alive()
    alarm.close()


def test_it_is_put_off_without_waking_who_waits() -> None:
    alarm = Alarm()
    alarm.set(200_000_000)
    waiter = threading.Thread(target=alarm.wait, daemon=True)
    waiter.start()
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        alarm.set(200_000_000)
        time.sleep(0.01)
    late = time.monotonic()
    waiter.join(10)
    assert time.monotonic() - late > 0.1
    alarm.close()


def test_longer_than_a_second() -> None:
    alarm = Alarm()
    alarm.set(1_000_000_000 + 5)
    assert list(alarm._times) == [0, 0, 1, 5]
    alarm.close()


def test_a_process_without_descriptors_is_told() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            Alarm()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
