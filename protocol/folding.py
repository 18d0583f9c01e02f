"""Text folded for comparison, with the way back to the original characters.

Two texts that fold to the same string differ at most in the amount of white space (line breaks
included), in letter case, in the kind of quotation marks and dashes, in ligatures and other
compatibility forms, in soft hyphens and zero-width characters, and in hyphens between letters
(so that a word divided at the end of a line equals the whole one).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_LETTER: Final = r"[^\W\d_]"
# A soft hyphen, and the two characters PDFium writes for a hyphen at the end of a line.
_SOFT: Final = "\u00ad\ufffe\x02"
_ZERO_WIDTH: Final = "\u200b-\u200d\u2060\ufeff"
_LONG_DASHES: Final = "\u2012-\u2015\u2212"
_DASHES: Final = f"\u2010\u2011{_LONG_DASHES}\u2043\ufe58\ufe63\uff0d"
# All that `_fold_ascii` does not fold, character for character. The first line only saves time:
# it lets most characters of a page pass at a glance.
_SPECIAL: Final = re.compile(
    r"(?=[-\x02\s\x80-\U0010ffff])(?! [!-~])(?:"
    rf"(?P<hyphen>[{_SOFT}]\s*|(?<={_LETTER})[-\u2010\u2011]\s*(?={_LETTER})"
    rf"|(?<={_LETTER})[{_LONG_DASHES}](?={_LETTER}))"
    rf"|(?P<blank>[\s{_ZERO_WIDTH}]{{2,}}|[^\S \n]|[{_ZERO_WIDTH}])"
    rf"|(?P<other>[^\x00-\x7f\s{_SOFT}{_ZERO_WIDTH}{_DASHES}]+|[{_DASHES}]))"
)
_VARIANTS: Final = str.maketrans(
    dict.fromkeys('"`´‘’‚‛“”„‟′″‵‶‹›«»ʹʺʼ＂＇', "'") | dict.fromkeys("‐‑‒–—―−⁃﹘﹣－", "-")
)


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded `text`; its runs begin at `starts` here and at `origins` in the original."""

    text: str
    starts: tuple[int, ...]
    origins: tuple[int, ...]

    def origin(self, index: int) -> int:
        """Return the original offset of the character that `text[index]` comes from."""
        run = bisect_right(self.starts, index) - 1
        return self.origins[run] + index - self.starts[run]


def fold(text: str) -> Folded:
    """Return `text` folded, in time linear in its length."""
    pieces: list[str] = []
    starts: list[int] = []
    origins: list[int] = []
    size = 0

    def put(piece: str, origin: int) -> None:
        nonlocal size
        if piece[:1] == " " and pieces and pieces[-1][-1] == " ":
            piece, origin = piece[1:], origin + 1
        if piece:
            pieces.append(piece)
            starts.append(size)
            origins.append(origin)
            size += len(piece)

    at = 0
    for match in _SPECIAL.finditer(text):
        start, end = match.span()
        put(_fold_ascii(text[at:start]), at)
        at = end
        if match["blank"]:
            put(" " if any(map(str.isspace, match["blank"])) else "", start)
        elif match["other"]:
            chars = [_fold_char(char) for char in match["other"]]
            if all(len(char) == 1 for char in chars):
                put("".join(chars), start)
                continue
            for offset, char in enumerate(chars):
                for part in char:
                    put(part, start + offset)
    put(_fold_ascii(text[at:]), at)
    return Folded("".join(pieces), tuple(starts), tuple(origins))


def _fold_ascii(run: str) -> str:
    return run.lower().replace("\n", " ").replace('"', "'").replace("`", "'")


@lru_cache(maxsize=4_096)
def _fold_char(char: str) -> str:
    # The table comes first: some marks would decompose into a blank and an accent.
    variant = char.translate(_VARIANTS)
    plain = unicodedata.normalize("NFKD", variant.casefold()).casefold()
    return plain.translate(_VARIANTS)
