from __future__ import annotations

import pytest

from wasmind.demo.client import Answer, Sustained
from wasmind.demo.screen import Screen, Steps

CLASSES = [{"label": "espresso", "probability": 0.9511}, {"label": "cup", "probability": 0.015}]


def test_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    timing = {"sandbox": 0.61, "queue": 0.1, "inference": 12.5}
    Screen().answer("coffee.png", CLASSES, Answer(200, b"", timing, 14.0))
    name, espresso, cup = capsys.readouterr().out.strip().splitlines()
    assert name == "coffee.png  14.0 ms: sandbox 0.6, queue 0.1, inference 12.5, HTTP 0.8"
    assert espresso.split()[:2] == ["espresso", "95.1%"]
    assert espresso.count("█") == 28
    assert cup.split()[:2] == ["cup", "1.5%"]


def test_an_answer_without_a_split(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().answer("x.png", CLASSES, Answer(200, b"", {}, 14.0))
    assert "x.png  14.0 ms: HTTP 14.0" in capsys.readouterr().out


def test_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().sustained(Sustained(301, 1, 3.0, 8, 76.4))
    said = capsys.readouterr().out.strip()
    assert said.startswith("This node sustains 100 requests per second")
    assert said.endswith("(301 in 3.0 s on 8 connections, half of them within 76 ms, 1 failed)")


def test_an_invitation_is_not_wrapped_or_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    curl = "curl --data-binary @" + "/long" * 40 + "/[coffee].rgb http://127.0.0.1:8080/classify"
    Screen().invitation(curl, "convert", "http://127.0.0.1:8090/docs")
    assert f"  {curl}\n" in capsys.readouterr().out


def test_steps_are_ticked_when_they_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    with steps.shown():
        steps.step("One")
        steps.step("Two")
        steps.say("Port 8080 is taken")
        steps.done()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" 0.")[0] for line in lines] == ["✓ One", "! Port 8080 is taken", "✓ Two"]


def test_a_step_that_failed_is_not_ticked(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()

    def fail() -> None:
        with steps.shown():
            steps.step("One")
            raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="it broke"):
        fail()
    assert capsys.readouterr().err == ""
