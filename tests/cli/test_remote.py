"""The commands that look at a model, with one that is served elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.oip_server import oip_server
from wasmind.catalog.card import CardTensor
from wasmind.cli.inspect import describe
from wasmind.cli.trial import Given, try_out
from wasmind.config import KServe, Model
from wasmind.errors import ModelUnavailable


async def test_a_model_elsewhere_is_described_and_tried(tmp_path: Path) -> None:
    with oip_server() as server:
        settings = Model(kserve=KServe(url=server.url, model="linear"))
        card, files = await describe("m", settings, tmp_path)
        assert card.inputs == (CardTensor(name="x", tensor="f32 [1,4]"),)
        assert (card.runtime, files) == ("kserve", [server.url])
        tried = await try_out("m", settings, tmp_path, Given(), 3)
        assert tried["outputs"][0]["tensor"] == "f32 [1,4]"
        assert tried["runtime"] == "kserve"
        assert server.counts()["linear"] >= 4


async def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    with oip_server() as server:
        url = server.url
    with pytest.raises(ModelUnavailable, match=url):
        await describe("m", Model(kserve=KServe(url=url, model="linear")), tmp_path)
