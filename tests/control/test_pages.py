"""Pages for people, of real nodes."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from support.images import encoded, picture
from support.nodes import CONFIG, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.nodes import NodeProcess

HOSTILE = "<script>alert(1)</script>"
CARD = f"""
[models.linear.card]
licence = "MIT"
source = "https://example.com/linear"
notes = '''
First & foremost. {HOSTILE}

Second.
'''
inputs = {{ x = "four numbers" }}
example = {{ image = "photo.png" }}
answer = "{HOSTILE}"
"""


class Text(HTMLParser):
    """What a page says, and its elements; every element that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("pages")
    (directory / "photo.png").write_bytes(encoded(picture(20, 10), "PNG"))
    with running(directory, CONFIG + CARD) as node:
        yield node


def test_a_models_page_tells_its_card(described: NodeProcess) -> None:
    answer = described.api("/models/linear")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Text(answer.text)
    for words in (
        "y = 2x + 1",
        "licence MIT",
        "x f32 [1,4] four numbers",
        "y f32 [1,4]",
        "First & foremost.",
        "Second.",
        "onnxruntime",
        "MiB",
        "wasmind models test linear",
        "Used by ask",
    ):
        assert words in page.text
    assert "https://example.com/linear" in page.links
    assert "/models/linear/example" in page.links


def test_nothing_that_is_told_becomes_a_script(described: NodeProcess) -> None:
    answer = described.api("/models/linear")
    assert HOSTILE in Text(answer.text).text, "it is shown as it is written"
    assert "script" not in Text(answer.text).elements
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_example_is_shown(described: NodeProcess) -> None:
    answer = described.api("/models/linear/example")
    assert answer.headers["content-type"] == "image/png"
    assert answer.body == (described.directory / "photo.png").read_bytes()
    (described.directory / "photo.png").rename(described.directory / "away.png")
    assert described.api("/models/linear/example").status == 404
    (described.directory / "away.png").rename(described.directory / "photo.png")


def test_all_models_are_listed(described: NodeProcess) -> None:
    page = Text(described.api("/models").text)
    assert "linear y = 2x + 1" in page.text
    assert "ready" in page.text
    assert "/models/linear" in page.links


def test_a_model_that_is_not_there_has_no_page(described: NodeProcess) -> None:
    for path in ("/models/none", "/models/none/example", "/models/..%2f..%2fetc"):
        answer = described.api(path)
        assert answer.status == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_plain_model_has_a_page_too(node: NodeProcess) -> None:
    page = Text(node.api("/models/linear").text)
    assert "Example" not in page.text
    assert "y = 2x + 1" in page.text
    assert node.api("/models/linear/example").status == 404


def test_the_api_has_the_same_card(described: NodeProcess) -> None:
    card = described.api("/api/v1/models/linear").json()["card"]
    assert card["licence"] == "MIT"
    assert card["inputs"] == [
        {"name": "x", "tensor": "f32 [1,4]", "meaning": "four numbers", "converted": []}
    ]
    (figures,) = card["figures"]
    assert figures["run_ms"] > 0
    assert figures["memory"] > 1 << 20
    assert figures["runtime"].startswith("onnxruntime")
