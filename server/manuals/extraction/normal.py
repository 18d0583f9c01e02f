"""Page text in one form, made once, so that quotes stay verbatim from then on."""

from __future__ import annotations

import re
from typing import Final

_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# pdfium writes these two where a word was divided at the end of a line.
_DIVISION_MARKS: Final = re.compile("[\x02\ufffe]")
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\uffff]")
_TRAILING: Final = re.compile(r"[ \t]+$", re.MULTILINE)
_BLANK_LINES: Final = re.compile(r"\n{3,}")


def normalise(text: str) -> str:
    """Return the text of one page: `\\n` line ends, no control characters but tabs."""
    text = _LINE_ENDS.sub("\n", text)
    text = _DIVISION_MARKS.sub("-", text)
    text = _NOT_TEXT.sub("", text)
    text = _TRAILING.sub("", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n")
