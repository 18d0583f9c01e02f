"""HTML: the text of the body in blocks, headings as the outline; nothing is run or loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from server.manuals.documents import ManualError
from server.manuals.extraction.blocks import Block, read_blocks
from server.manuals.extraction.plain import decode
from server.manuals.extraction.reading import MAX_TITLE_CHARS, Sink

_DROPPED: Final = ("script", "style", "noscript", "template", "nav", "iframe", "object", "svg",
                   "form", "button", "select", "footer")  # fmt: skip
_HEADINGS: Final = {"h1": 0, "h2": 1, "h3": 2, "h4": 3, "h5": 4, "h6": 5}
_BLOCKS: Final = frozenset(
    {"p", "div", "section", "article", "main", "ul", "ol", "li", "table", "tr", "blockquote",
     "pre", "dl", "dt", "dd", "figure", "figcaption", "header", "aside", "details", "summary",
     "br", "hr", "body", "caption", "thead", "tbody", *_HEADINGS}
)  # fmt: skip
_CELLS: Final = frozenset({"td", "th"})
_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_CHARSET: Final = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]{1,40})", re.IGNORECASE)


def read(data: bytes, sink: Sink) -> None:
    """Give the pages of an HTML document to `sink`."""
    tree = LexborHTMLParser(_decode(data))
    title = tree.css_first("title")
    if title is not None:
        sink.title = _SPACE.sub(" ", title.text()).strip()[:MAX_TITLE_CHARS]
    body = tree.body
    if body is None:
        raise ManualError("empty", "The page holds no text")
    for name in _DROPPED:
        for node in body.css(name):
            node.decompose()
    read_blocks(_blocks(body), sink)


def _decode(data: bytes) -> str:
    named = _CHARSET.search(data[:2048])
    if named is not None:
        try:
            return data.decode(named[1].decode(), "replace")
        except LookupError:
            pass
    return decode(data)


def _blocks(body: LexborNode) -> Iterator[Block]:
    """Walk the body in document order and cut where a block begins or ends."""
    line: list[str] = []
    level: int | None = None
    for node, entering in _walk(body):
        name = node.tag or ""
        if name == "-text":
            if entering:
                line.append(node.text_content or "")
        elif name in _CELLS:
            line.append(" | " if not entering else "")
        elif name in _BLOCKS:
            if text := _SPACE.sub(" ", "".join(line)).strip(" |"):
                yield Block(text, level)
            line = []
            level = _HEADINGS.get(name) if entering else None
            if name == "li" and entering:
                line.append("- ")
    if text := _SPACE.sub(" ", "".join(line)).strip(" |"):
        yield Block(text, level)


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each node at its begin and its end, without recursion."""
    stack: list[tuple[LexborNode, bool]] = [(root, False), (root, True)]
    while stack:
        node, entering = stack.pop()
        yield node, entering
        if entering and node.tag != "-text":
            for child in reversed(list(node.iter(include_text=True))):
                stack.append((child, False))
                stack.append((child, True))
