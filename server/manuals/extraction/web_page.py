"""HTML to pages: what a reader of the page would read, in order."""

from __future__ import annotations

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from server.manuals.extraction.paging import Pages
from server.manuals.extraction.results import MAX_TITLE_CHARS, Results
from server.manuals.extraction.wording import decoded, one_line

_NOT_READ: Final = (
    "script style noscript template nav head svg math iframe object embed form button select "
    "textarea canvas audio video dialog"
)
_BREAKING: Final = (
    "address article aside blockquote body caption dd details div dl dt figcaption figure footer "
    "header hr li main ol p pre section summary table ul"
)
_DROPPED: Final = frozenset(_NOT_READ.split())
_BLOCKS: Final = frozenset(_BREAKING.split())
_HEADINGS: Final = {f"h{number}": number - 1 for number in range(1, 7)}
_CELLS: Final = frozenset(("td", "th"))
_CHARSET: Final = re.compile(rb"""charset\s*=\s*["']?([A-Za-z0-9_:.-]{1,40})""", re.I)


def read_html(data: bytes, max_pages: int) -> Results:
    """Yield the pages of a web page; headings make the outline, `<title>` the title.

    Scripts, styles, navigation and forms are left out; a table's row is one line, its cells
    parted by a bar.
    """
    named = _CHARSET.search(data[:1024])
    tree = LexborHTMLParser(decoded(data, named[1].decode("ascii") if named else ""))
    pages = Pages()
    if tree.root is not None:
        _Walk(pages).over(tree.root)
    title = tree.css_first("title")
    pages.title = one_line(title.text() if title else "", MAX_TITLE_CHARS) or pages.title
    return pages.results(max_pages)


class _Walk:
    """Goes through a tree without recursion, so that no nesting is too deep."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._words: list[str] = []
        self._verbatim = 0

    def over(self, root: LexborNode) -> None:
        node: LexborNode | None = root
        while node is not None:
            entered = self._enter(node)
            if entered and node.child is not None:
                node = node.child
                continue
            if entered:
                self._leave(node)
            while node is not None and node.next is None:
                node = node.parent
                if node is not None:
                    self._leave(node)
            node = node.next if node is not None else None
        self._flush()

    def _enter(self, node: LexborNode) -> bool:
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            self._words.append(text if self._verbatim else re.sub(r"\s+", " ", text))
            return False
        if tag is None or tag in _DROPPED or (tag.startswith("-") and tag != "-document"):
            return False
        if tag == "br":
            self._words.append("\n")
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._flush()
        self._verbatim += tag == "pre"
        return True

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _CELLS:
            self._words.append(" | ")
        elif tag == "tr":
            self._words.append("\n")
        elif tag in _HEADINGS:
            self._pages.heading("".join(self._words), _HEADINGS[tag])
            self._words = []
        elif tag in _BLOCKS:
            self._flush()
        self._verbatim -= tag == "pre"

    def _flush(self) -> None:
        lines = "".join(self._words).split("\n")
        self._words = []
        kept = [re.sub(r"(\s*\|\s*)+$", "", line).rstrip() for line in lines]
        if not self._verbatim:
            kept = [line.strip() for line in kept]
        text = "\n".join(line for line in kept if line)
        if text:
            self._pages.block(text)
