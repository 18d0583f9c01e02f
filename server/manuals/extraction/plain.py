"""Plain text and Markdown: paragraphs and headings, the signs of the markup taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from server.manuals.documents import ManualError
from server.manuals.extraction.blocks import Block, read_blocks
from server.manuals.extraction.reading import Sink

_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE: Final = re.compile(r"!\[([^\]\n]{0,500})\]\([^)\n]{0,2000}\)")
_LINK: Final = re.compile(r"\[([^\]\n]{1,500})\]\([^)\n]{0,2000}\)")
_EMPHASIS: Final = re.compile(r"(\*\*|__|\*|`)(?=\S)([^*`\n]{1,500}?)(?<=\S)\1")
_RULE_ROW: Final = re.compile(r"[ \t]*\|?[ \t:|-]*-{2,}[ \t:|-]*$")


def decode(data: bytes) -> str:
    """Return the text; UTF-8 and UTF-16 with their marks, else Latin-1. NULs: not a text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\x00" in data[:8192]:
        raise ManualError("wrong_type", "The file is not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_text(data: bytes, sink: Sink) -> None:
    """Give the pages of a plain text to `sink`."""
    read_blocks(_paragraphs(decode(data)), sink)


def read_markdown(data: bytes, sink: Sink) -> None:
    """Give the pages of a Markdown text to `sink`; its first heading is the title."""
    read_blocks(_markdown(_COMMENT.sub("", decode(data))), sink)
    sink.title = sink.outline[0].title if sink.outline else ""


def _paragraphs(text: str) -> Iterator[Block]:
    for number, page in enumerate(text.replace("\r\n", "\n").split("\f")):
        for index, paragraph in enumerate(re.split(r"\n[ \t]*\n", page)):
            yield Block(paragraph, breaks=number > 0 and index == 0)


def _markdown(text: str) -> Iterator[Block]:
    for number, page in enumerate(text.replace("\r\n", "\n").split("\f")):
        first = number > 0
        for block in _markdown_page(page):
            yield Block(block.text, block.level, breaks=first)
            first = False


def _markdown_page(page: str) -> Iterator[Block]:
    lines: list[str] = []
    fence: str | None = None
    for line in page.split("\n"):
        mark = _FENCE.match(line)
        if mark and (fence is None or mark[1].startswith(fence)):
            fence = None if fence else mark[1][:3]
            continue
        heading = _HEADING.match(line) if fence is None else None
        if heading or (not line.strip() and fence is None):
            yield Block("\n".join(lines))
            lines = []
        if heading:
            yield Block(_plain(heading[2]), level=len(heading[1]) - 1)
        elif fence is not None:
            lines.append(line)
        elif not _RULE_ROW.match(line):
            lines.append(_plain(line))
    yield Block("\n".join(lines))


def _plain(line: str) -> str:
    line = _IMAGE.sub(r"\1", line)
    line = _LINK.sub(r"\1", line)
    line = _EMPHASIS.sub(r"\2", line)
    return _EMPHASIS.sub(r"\2", line)
