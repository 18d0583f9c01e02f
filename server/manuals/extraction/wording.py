"""Text as it is cached and cited: normalised once, here, and never again."""

from __future__ import annotations

import re
from typing import Final

_DROPPED: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\ufeff\ufffe\uffff\ud800-\udfff]"
)
_LINE_END_HYPHEN: Final = re.compile("[\x02\u00ad\ufffe][ \t]*(?:\r\n?|\n)?")
_LIGATURES: Final = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
    | {"\ufb05": "st", "\ufb06": "st", "\u00a0": " "}
)
_LATIN_WORD: Final = re.compile("[A-Za-z\u00c0-\u024f]+")
_BOMS: Final = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def normalised(text: str) -> str:
    """Return text with LF line ends, soft hyphens joined, ligatures as letters, controls dropped.

    Form feeds go too: pages are told apart by them. Everything else is as in the manual.
    """
    joined = _LINE_END_HYPHEN.sub("", text)
    plain = _DROPPED.sub("", joined.replace("\r\n", "\n").replace("\r", "\n"))
    return plain.translate(_LIGATURES).strip("\n")


def one_line(text: str, max_chars: int) -> str:
    """Return text for a title: normalised, its runs of white space one space."""
    return " ".join(normalised(text[: 4 * max_chars]).split())[:max_chars]


def mean_word_chars(text: str) -> float:
    """Return the mean length of words in Latin letters, 0.0 if there are under 30 of them."""
    words = _LATIN_WORD.findall(text)
    letters = sum(map(len, words))
    return letters / len(words) if letters >= 150 or len(words) >= 30 else 0.0


def decoded(data: bytes, declared: str = "") -> str:
    """Return bytes as text: by byte order mark, the declared encoding, UTF-8, else Windows-1252."""
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    for encoding in (declared, "utf-8"):
        try:
            return data.decode(encoding) if encoding else data.decode("utf-8")
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")
