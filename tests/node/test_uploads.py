"""What functions bring: a budget per tenant for loading it."""

from __future__ import annotations

import pytest

from wasmind.errors import ModelBusy
from wasmind.node import uploads
from wasmind.node.uploads import LOADS_AT_ONCE, SECONDS_PER_LOAD, LoadBudget


def test_a_tenant_may_load_so_many_and_then_one_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(uploads, "monotonic", lambda: now)
    budget = LoadBudget()
    for _ in range(LOADS_AT_ONCE):
        budget.spend()
    for _ in range(3):
        with pytest.raises(ModelBusy) as refused:
            budget.spend()
        assert refused.value.retry_after
        assert "try again in 10 s" in (refused.value.remedy or "")
    now += SECONDS_PER_LOAD
    budget.spend()
    with pytest.raises(ModelBusy):
        budget.spend()
    now += 1e6
    for _ in range(LOADS_AT_ONCE):
        budget.spend()
    with pytest.raises(ModelBusy):
        budget.spend()
