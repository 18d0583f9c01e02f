"""How many tokens a text costs, without any model's tokenizer."""

from __future__ import annotations

import re

CHARS_PER_TOKEN = 4
"""For text in Latin letters; the tokenizers in use give 3.5 to 4.5 for English manuals."""

_WIDE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef]"
)


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` is, rounded up: a character of an East Asian or similar
    script is one, of any other script beyond ASCII half of one, of ASCII a quarter.
    """
    if text.isascii():
        return -(-len(text) // CHARS_PER_TOKEN)
    wide = len(_WIDE.findall(text))
    ascii_chars = len(text.encode("ascii", "ignore"))
    other = len(text) - wide - ascii_chars
    return wide - (-(ascii_chars + 2 * other) // CHARS_PER_TOKEN)
