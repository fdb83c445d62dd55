"""The commands that look at a model, with one that is served elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.oip_server import oip_server
from wasmind.catalog.card import CardTensor
from wasmind.cli.inspect import describe
from wasmind.cli.trial import Given, try_out
from wasmind.config import Converted, KServe, Model, Step
from wasmind.errors import ModelLoadFailed, ModelUnavailable


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


async def test_one_with_conversions_is_described_and_tried_as_functions_see_it(tmp_path: Path) -> None:
    with oip_server() as server:
        settings = Model(
            kserve=KServe(url=server.url, model="linear"),
            inputs={"x": Converted(convert=[Step(cast="u8")])},
            outputs={"y": Converted(convert=[Step(softmax=True)])},
        )
        card, files = await describe("m", settings, tmp_path)
        assert [(one.tensor, one.converted) for one in card.inputs] == [("u8 [1,4]", ("cast u8",))]
        assert [one.converted for one in card.outputs] == [("softmax",)]
        assert files == [server.url]
        tried = await try_out("m", settings, tmp_path, Given(), 2)
        assert tried["inputs"][0]["tensor"] == "u8 [1,4]"
        assert tried["runtime"] == "kserve"


async def test_one_whose_conversions_do_not_fit_is_refused(tmp_path: Path) -> None:
    with oip_server() as server:
        settings = Model(
            kserve=KServe(url=server.url, model="linear"),
            outputs={"z": Converted(convert=[Step(softmax=True)])},
        )
        with pytest.raises(ModelLoadFailed, match="no such output"):
            await describe("m", settings, tmp_path)
