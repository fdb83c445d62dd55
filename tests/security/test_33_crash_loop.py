"""Row 33: a model whose process dies again and again is backed off from, then quarantined, and says why."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from support.nodes import kill, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_a_crash_loop_ends_in_quarantine_and_a_reload_revives(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        deaths = 0
        while node.model().state != "quarantined":
            node.until(lambda: node.model().state in ("ready", "quarantined"))
            if (pid := node.model().pid) is not None:
                kill(pid)
                deaths += 1
                node.until(lambda: node.model().state != "ready")
        assert deaths == 6
        pauses = [float(told) for told in re.findall(r"restart_in_seconds=([\d.]+)", node.log)]
        assert len(pauses) == deaths - 1
        assert pauses[0] < pauses[-1]
        reason = node.model().reason or ""
        assert "its process died 6 times in a row" in reason
        assert "SIGKILL" in reason

        assert node.get("/http/hello").text == "hello\n", "neighbours are served"
        began = time.monotonic()
        assert node.get("/ask/linear").text == "load: 5\n"
        assert time.monotonic() - began < 1, "a model that does not come back is not waited for"
        ready = node.api("/readyz")
        assert ready.status == 503
        assert "quarantined" in ready.json()["problems"][0]

        node.reload()
        assert node.get("/ask/linear").text == "3 5 7 9 \n"
