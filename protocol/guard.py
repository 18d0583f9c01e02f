"""What a model writes, made harmless before it leaves: no links, no hidden characters.

A model that was fed a hostile manual may try to have a client load or open an address with what it
knows in it. Clients are told to render text as text; this guard makes sure that one that does not
finds no address in it: `https://host` becomes `https：／／host` (full-width signs), which people
can read and no URL parser takes for one. Hosts that the operator allows stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

MAX_HOST_CHARS: Final = 253  # RFC 1035; a longer one is no host and is not waited for
_LOOK_BACK_CHARS: Final = 32  # enough for a scheme with white space strewn into it
_MAX_MIME_CHARS: Final = 20

# Characters that are never seen: tags, zero-width space and word joiner, direction overrides; and
# lone surrogates, which UTF-8 cannot carry.
HIDDEN: Final = re.compile(
    "[\U000e0000-\U000e007f\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

# Without one of these nothing is an address, and nothing can become one with what follows.
_SUSPICIOUS: Final = frozenset(":/\\")
_COLON: Final = re.compile(":")
# Browsers read a backslash as a slash, and any number of them as two. The end of the text counts,
# as more may follow behind an item.
_SLASHES: Final = re.compile(
    r"(?<=[:(\"'=<>\s])(?:(?://|/\\|\\/)(?=\S)|[/\\]{1,2}\Z)|(?<=[(\"'=<])\\\\(?=\S)"
)
_EITHER: Final = re.compile(rf"{_COLON.pattern}|{_SLASHES.pattern}")
_AFTER_COLON: Final = re.compile(r"//(?P<host>[A-Za-z0-9.-]*)(?:[/?#\s)\]\"'>,;!]|\Z)")
_MIME: Final = re.compile(r"\s*[A-Za-z]+/")
_UNDECIDED: Final = re.compile(
    rf"(?::(?:/?|//[A-Za-z0-9.-]{{0,{MAX_HOST_CHARS}}}|\s{{0,4}}[A-Za-z]{{0,{_MAX_MIME_CHARS}}})"
    r"|(?<![/\\])[/\\]{1,2})\Z"
)
_OPEN_END: Final = re.compile(r"(?:\s{0,4}|[A-Za-z]{0,20})\Z")
_SCHEMES: Final = ("http", "https", "ws", "wss", "ftp", "file", "blob", "javascript", "vbscript")
_SCRIPTS: Final = ("javascript", "vbscript")  # run whatever stands behind the colon
_SPACE: Final = re.compile(r"[\s\x00-\x1f]+")

FULL_WIDTH_COLON: Final = "\uff1a"
_FULL_WIDTH_SLASHES: Final = str.maketrans({"/": "\uff0f", "\\": "\uff3c"})


class OutputGuard:
    """Takes text in any chunks and gives it back harmless; the chunks never change the result.

    Holds back only what may become an address: a colon, slashes, the host behind them.
    """

    __slots__ = (
        "_allowed",
        "_held",
        "_seen",
    )

    def __init__(self, allowed_hosts: Collection[str] = ()) -> None:
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._seen = ""  # the end of what was decided, as it came
        self._held = ""

    def feed(self, text: str) -> str:
        """Take text; return what is decided."""
        if not self._held and text.isascii() and not _SUSPICIOUS.intersection(text):
            self._seen = (self._seen + text)[-_LOOK_BACK_CHARS:]
            return text
        self._held += HIDDEN.sub("", text)
        undecided = self._undecided_from()
        ready, self._held = self._held[:undecided], self._held[undecided:]
        return self._decide(ready, self._held)

    def flush(self) -> str:
        """Return what is held back: something other than text follows."""
        ready, self._held = self._held, ""
        return self._decide(ready, "")

    def clean(self, text: str) -> str:
        """Return a whole text made harmless, apart from what is being fed."""
        own = OutputGuard(self._allowed)
        return own.feed(text) + own.flush()

    def _undecided_from(self) -> int:
        """Return where the text begins that the next chunk may change."""
        found = _UNDECIDED.search(self._held)
        if found is None:
            return len(self._held)
        if found[0][0] == ":" and found[0][1:2] not in ("", "/"):  # perhaps `data:image/`
            before = _SPACE.sub("", (self._seen + self._held[: found.start()]))[-4:]
            if before.lower() != "data":
                return len(self._held)
        return found.start()

    def _decide(self, ready: str, after: str) -> str:
        if not ready:
            return ""
        whole = self._seen + ready
        start = len(self._seen)
        pieces: list[str] = []
        end = start
        for match in _EITHER.finditer(whole + after, start):
            if match.start() >= len(whole):
                break
            pieces.append(whole[end : match.start()])
            pieces.append(self._replace(whole + after, match))
            end = match.end()
        pieces.append(whole[end:])
        self._seen = whole[-_LOOK_BACK_CHARS:]
        return "".join(pieces)

    def _replace(self, text: str, match: re.Match[str]) -> str:
        if match[0] != ":":
            allowed = self._is_allowed(text, match.start())
            return match[0] if allowed else match[0].translate(_FULL_WIDTH_SLASHES)
        before = _SPACE.sub("", text[max(0, match.start() - _LOOK_BACK_CHARS) : match.start()])
        word = before.lower()
        after = text[match.end() : match.end() + 2]
        if after == "//":
            return ":" if self._is_allowed(text, match.end()) else FULL_WIDTH_COLON
        if word.endswith(_SCRIPTS):
            return FULL_WIDTH_COLON
        if word.endswith(_SCHEMES) and after[:1].strip():
            return FULL_WIDTH_COLON
        if word.endswith("data") and _MIME.match(text, match.end()):
            return FULL_WIDTH_COLON
        # The text stops here for an item, and what follows that would make it an address.
        if word.endswith(("http", "https")) and not after:
            return FULL_WIDTH_COLON
        if word.endswith("data") and _OPEN_END.match(text, match.end()):
            return FULL_WIDTH_COLON
        return ":"

    def _is_allowed(self, text: str, slashes: int) -> bool:
        """Whether `http:` or `https:` stands before the slashes and an allowed host behind."""
        if not self._allowed or not text[:slashes].lower().endswith(("http:", "https:")):
            return False
        found = _AFTER_COLON.match(text, slashes)
        return found is not None and found["host"].lower().rstrip(".") in self._allowed
