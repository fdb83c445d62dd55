"""What every error of the tree can do."""

from __future__ import annotations

import pytest

from support.garbage import no_garbage
from wasmind.errors import BuildFailed, GuestTrap, MethodNotAllowed, ModelBusy, WasmindError


def raised(error: WasmindError) -> WasmindError:
    """The error with a cause and a traceback, whose frame keeps it and whatever the frame held."""
    held = {"size": 1000}
    try:
        try:
            held["none"]
        except KeyError as cause:
            raise error from cause
    except WasmindError:
        return error


def test_an_error_explains_itself_in_one_line() -> None:
    error = ModelBusy("the model is busy", cause="9 calls wait", remedy="try again!")
    assert error.explain() == "the model is busy. Cause: 9 calls wait. Remedy: try again!"
    assert GuestTrap("it trapped.").explain() == "it trapped."


def test_an_error_as_data() -> None:
    found = ModelBusy("busy", remedy="try again").as_dict()
    assert found == {"code": ModelBusy.code, "message": "busy", "remedy": "try again"}
    assert WasmindError("m", cause="c").as_dict() == {"code": "internal", "message": "m", "cause": "c"}


@pytest.mark.parametrize(
    "error",
    [
        ModelBusy("busy", cause="c", remedy="r"),
        MethodNotAllowed("no", allowed="GET"),
        BuildFailed("it does not build", output="line 1"),
    ],
)
def test_an_error_anew_is_the_same_but_was_not_raised(error: WasmindError) -> None:
    raised(error)
    again = error.anew()
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)
    assert again.__traceback__ is again.__context__ is again.__cause__ is None
    error.let_go()


def test_an_error_that_was_let_go_frees_its_frames() -> None:
    with no_garbage():
        raised(GuestTrap("it trapped")).let_go()
    with pytest.raises(AssertionError, match="frame"), no_garbage():
        raised(GuestTrap("it trapped"))
