"""Characters that a reader cannot see, and markers that only a model may write.

Manual text and user text are data. Before they reach a model or an answer, invisible characters
are taken out (they can carry instructions that no person would notice) and anything that reads
like one of our markers is made harmless.
"""

from __future__ import annotations

import re

MARKER_KEYWORDS = ("MANUAL", "SUGGESTION", "PRO TIP", "WARNING", "FOLLOW UP", "EDIT", "CITATION")
"""Every keyword of the marker grammar, and the one of an older grammar that models still know."""

HARMLESS_BRACKET = "［"
"""Full-width left square bracket: people and models read it as a bracket, the parser does not."""

_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b\x0e-\x1f\x7f"  # control characters except tab, line and form feed, return
    "\u00ad"  # soft hyphen
    "\u180e"  # Mongolian vowel separator
    "\u200b-\u200f"  # zero width space, joiners, direction marks
    "\u202a-\u202e\u2066-\u2069"  # direction embeddings, overrides and isolates
    "\u2060-\u2064\u206a-\u206f"  # word joiner, invisible operators, deprecated controls
    "\ufe00-\ufe0f"  # variation selectors
    "\ufeff\ufff9-\ufffb"  # byte order mark, annotations
    "\U000e0000-\U000e01ef"  # tags and further variation selectors
    "]"
)
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf"
    "\u2934-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_JOINED_SCRIPTS = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1800-\u18af"
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
# What is kept: (the hidden character with its neighbours).
_LEGITIMATE = re.compile(
    f"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])"  # one picture made of several
    f"|(?<=[{_EMOJI}#*0-9])[\ufe0e\ufe0f]"  # text or picture style
    f"|(?<=[{_JOINED_SCRIPTS}])[\u200c\u200d](?=[{_JOINED_SCRIPTS}])"  # letter shapes
    f"|(?<=[{_RIGHT_TO_LEFT}])[\u200e\u200f]|[\u200e\u200f](?=[{_RIGHT_TO_LEFT}])"
    "|(?<=[\u3400-\u9fff\uf900-\ufaff])[\U000e0100-\U000e01ef]"
)

_MARKER = re.compile(
    r"\[(?=\s*(?:"
    + "|".join(keyword.replace(" ", r"[\s_\-]*") for keyword in MARKER_KEYWORDS)
    + r")\s*(?:[:：]|\Z))",
    re.IGNORECASE,
)


def strip_hidden(text: str) -> tuple[str, int]:
    """Return `text` without invisible characters, and how many were taken out.

    Kept are joiners and variation selectors that belong to an emoji, joiners between letters of
    scripts that need them (Arabic, Indic and their neighbours), direction marks beside
    right-to-left letters, and one variation selector after an ideograph. A second call changes
    nothing.
    """
    dropped = 0
    while _HIDDEN.search(text):
        kept = {match.start() for match in _LEGITIMATE.finditer(text)}
        pieces: list[str] = []
        end = 0
        for match in _HIDDEN.finditer(text):
            if match.start() not in kept:
                pieces.append(text[end : match.start()])
                end = match.end()
        if not pieces:
            break
        cleaned = "".join(pieces) + text[end:]
        dropped += len(text) - len(cleaned)
        text = cleaned
    return text, dropped


def neutralise(text: str) -> str:
    """Return `text` in which no marker can be read: `[WARNING:` becomes `［WARNING:`.

    Only the bracket directly before a marker's keyword changes, one character for one, so offsets
    stay true and other brackets stay as they are. A second call changes nothing. Invisible
    characters are expected to be gone (`strip_hidden`), as they would hide a keyword.
    """
    return _MARKER.sub(HARMLESS_BRACKET, text)
