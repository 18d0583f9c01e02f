"""How much a text is: tokens without any model's tokenizer, and words in any script."""

from __future__ import annotations

import re

CHARS_PER_TOKEN = 4
"""For text in Latin letters; the tokenizers in use give 3.5 to 4.5 for English manuals."""

MAX_WORD_CHARS = 40
"""A longer run without blanks (encoded data, an address) counts as several words."""

_WIDE_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef"
)
_WIDE = re.compile(f"[{_WIDE_RANGES}]")
WORD = re.compile(f"[{_WIDE_RANGES}]{{1,2}}|[^\\s{_WIDE_RANGES}]{{1,{MAX_WORD_CHARS}}}")
"""One word; two characters of a script without blanks between words count as one."""


def count_words(text: str) -> int:
    """Return how many words `text` has, as `WORD` counts them."""
    return len(WORD.findall(text))


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` is, rounded up.

    A character of an East Asian or similar script is one, of any other script beyond ASCII half of
    one, of ASCII a quarter.
    """
    if text.isascii():
        return -(-len(text) // CHARS_PER_TOKEN)
    wide = len(_WIDE.findall(text))
    ascii_chars = len(text.encode("ascii", "ignore"))
    other = len(text) - wide - ascii_chars
    return wide - (-(ascii_chars + 2 * other) // CHARS_PER_TOKEN)
