"""Marked text as tests look at it: parsed in chunks, put together again, cut to pieces."""

from __future__ import annotations

from itertools import pairwise

from protocol.markers import Marker, MarkerParser, Text

Parts = list[Text | Marker]


def parse(*chunks: str) -> Parts:
    """Feed the chunks, close, and join neighbouring texts."""
    parser = MarkerParser()
    parts: Parts = []
    for chunk in chunks:
        parts += parser.feed(chunk)
    return joined(parts + parser.close())


def joined(parts: Parts) -> Parts:
    out: Parts = []
    for part in parts:
        if isinstance(part, Text) and out and isinstance(out[-1], Text):
            out[-1] = Text(out[-1].text + part.text)
        else:
            out.append(part)
    return out


def source(parts: Parts) -> str:
    return "".join(p.text if isinstance(p, Text) else p.raw for p in parts)


def cut(text: str, places: list[int]) -> list[str]:
    return [text[a:b] for a, b in pairwise([0, *sorted(places), len(text)])]
