"""Plain text and Markdown to pages."""

from __future__ import annotations

import re
from typing import Final

from server.manuals.extraction.paging import Pages, given_pages
from server.manuals.extraction.results import Results
from server.manuals.extraction.wording import decoded

_BLANK: Final = re.compile(r"\n[ \t]*\n+")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(```|~~~)")
_TABLE_RULE: Final = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_IMAGE: Final = re.compile(r"!\[([^\[\]\n]{0,500})\](?:\([^()\n]{0,2000}\)|\[[^\[\]\n]{0,200}\])")
_LINK: Final = re.compile(r"\[([^\[\]\n]{1,500})\](?:\([^()\n]{0,2000}\)|\[[^\[\]\n]{0,200}\])")
_REFERENCE: Final = re.compile(r" {0,3}\[[^\[\]\n]{1,200}\]:[ \t]+\S.*")
_STRONG: Final = re.compile(r"(\*\*|__|~~)(?=\S)([^\n]{1,500}?\S?)(?<=\S)\1")
_STRESS: Final = re.compile(r"(?<![\w*])([*_])(?=[^\s*_])([^\n*_]{1,500})(?<=\S)\1(?![\w*])")
_CODE: Final = re.compile(r"`([^`\n]{1,500})`")
_COMMENT: Final = re.compile(r"<!--.{0,10000}?-->", re.S)
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")


def read_text(data: bytes, max_pages: int) -> Results:
    """Yield the pages of a plain text."""
    text = decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    given = given_pages(text)
    pages = Pages(by_size=given is None)
    for index, page in enumerate(given or [text.replace("\f", "\n\n")]):
        if index:
            pages.new_page()
        for block in _BLANK.split(page):
            pages.block(block)
    return pages.results(max_pages)


def read_markdown(data: bytes, max_pages: int) -> Results:
    """Yield the pages of a Markdown text as a person reads it; ATX headings make the outline."""
    text = _COMMENT.sub("", decoded(data).replace("\r\n", "\n").replace("\r", "\n"))
    given = given_pages(text)
    pages = Pages(by_size=given is None)
    for index, page in enumerate(given or [text.replace("\f", "\n\n")]):
        if index:
            pages.new_page()
        _add_markdown(page, pages)
    return pages.results(max_pages)


def _add_markdown(text: str, pages: Pages) -> None:
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        opened = _FENCE.match(line)
        heading = None if fence else _HEADING.fullmatch(line)
        if opened and (not fence or opened[1] == fence):
            fence = "" if fence else opened[1]
        elif fence:
            lines.append(line)
        elif heading or not line.strip():
            pages.block("\n".join(lines))
            lines = []
            if heading:
                pages.heading(_without_marks(heading[2] or ""), len(heading[1]) - 1)
        elif not _TABLE_RULE.fullmatch(line) and not _REFERENCE.fullmatch(line):
            lines.append(_without_marks(line))
    pages.block("\n".join(lines))


def _without_marks(line: str) -> str:
    """Return a line without emphasis, code marks and the targets of links."""
    line = re.sub(r"^[ \t]*(?:>[ \t]?)+", "", line)
    if line.strip().startswith("|"):
        line = " | ".join(cell.strip() for cell in line.strip().strip("|").split("|"))
    for pattern, kept in ((_IMAGE, r"\1"), (_LINK, r"\1"), (_STRONG, r"\2"), (_STRESS, r"\2")):
        line = pattern.sub(kept, line)
    return _ESCAPE.sub(r"\1", _CODE.sub(r"\1", line))
