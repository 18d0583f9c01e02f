"""Where sentences end and which words carry their meaning, as far as choosing a quote needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from protocol.folding import fold

# Linear: a run of stops is tried once, from its beginning.
_BREAK: Final = re.compile(
    r"""(?<![.!?…])(?P<stop>[.!?…]++)["'”’»)\]]*+(?=\s|$)
    | [。！？]+[」』”’）]*
    | \n(?=[^\S\n]*\n)
    | \n(?=[^\S\n]*(?:[•▪‣◦●■○▶►–*-]|\(?[0-9]{1,2}[.)])\s)""",
    re.VERBOSE,
)
_ABBREVIATION: Final = re.compile(
    r"\b(?:e\.g|i\.e|vs|cf|dr|mr|mrs|z\.b|d\.h|bzw"
    r"|(?P<numbered>figs?|nos?|pp?|approx|min|max|vol|ch|sec|ca|nr|abb))\Z",
    re.IGNORECASE,
)
_LONGEST_ABBREVIATION: Final = 8


def find_breaks(text: str, start: int, stop: int) -> Iterator[int]:
    """Yield the offsets in `text[start:stop]` at which a sentence ends."""
    for match in _BREAK.finditer(text, start, stop):
        if match["stop"] != "." or not _goes_on(text, start, match.start(), match.end()):
            start = match.end()
            yield start


def _goes_on(text: str, sentence: int, full_stop: int, end: int) -> bool:
    """Whether the sentence goes on after its full stop."""
    following = text[end : end + 4].strip()[:1]
    if following.islower():
        return True
    head = text[sentence : min(full_stop, sentence + 16)].strip()
    if head.isalnum() and len(head) <= 2 and full_stop <= sentence + 16:
        return True  # the number of a list's entry
    found = _ABBREVIATION.search(text, max(sentence, full_stop - _LONGEST_ABBREVIATION), full_stop)
    return bool(found and (not found["numbered"] or following.isdigit()))


def split_sentences(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the trimmed sentences that have a letter or a digit."""
    for end in (*find_breaks(text, start, stop), stop):
        body = text[start:end]
        begin = start + len(body) - len(body.lstrip())
        start = end
        if any(map(str.isalnum, body)):
            yield begin, begin + len(body.strip())


# Single characters for scripts without blanks, whole words for the others.
_WORD: Final = re.compile(
    r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u9fff]{2,}|[0-9]"
)
_ENDING: Final = re.compile(r"(?<=...)(?:ings?|ed|es|e|s)\Z")
_STOP_WORDS: Final = frozenset(
    _WORD.findall(
        "a about after all also an and any are as at be been before but by can do does for "
        "from had has have how if in into is it its may more must no not of on or other out "
        "should so than that the their them then there these they this to up use using was "
        "were what when where which while who will with you your"
    )
)


def content_words(text: str) -> frozenset[str]:
    """Return the words of `text` without stop words (English ones) and common endings, folded."""
    words = _WORD.findall(fold(text).text)
    return frozenset(_ENDING.sub("", word) for word in words if word not in _STOP_WORDS)
