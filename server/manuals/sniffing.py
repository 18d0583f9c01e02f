"""What kind of manual some bytes are, by what they are and not by what they are called."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final, Literal

from server.manuals.documents import ManualError

Kind = Literal["pdf", "html", "text", "markdown"]

_LOOKED_AT: Final = 1024
_SUFFIXES: Final[dict[str, Kind]] = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
}
_CONTENT_TYPES: Final[dict[str, Kind]] = {
    "application/pdf": "pdf",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
}
_OTHERS: Final = {
    b"PK\x03\x04": "a ZIP archive or office document",
    b"MZ": "a Windows program",
    b"\x7fELF": "a program",
    b"\x1f\x8b": "a gzip archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"Rar!": "a RAR archive",
    b"{\\rtf": "an RTF document",
    b"%!PS": "a PostScript document",
}
_HTML: Final = re.compile(
    rb"\s*(?:<!--.{0,500}?-->\s*|<\?xml.{0,200}?\?>\s*)*<(?:!doctype html|html|head|body)\b",
    re.I | re.S,
)
_TAG: Final = re.compile(rb"<[a-zA-Z!/][^<>]{0,500}>")
_NAMES: Final = {"pdf": "a PDF", "html": "a web page", "text": "plain text", "markdown": "Markdown"}


def sniff(data: bytes, *, declared: Kind | None, content_type: str, name: str) -> Kind:
    """Return the kind of a manual; `name` is its file name or URL path. A PDF is one by its bytes.

    The wanted kind is the declared one, else the name's ending, else the content type. Raises
    `ManualError`: empty, or wrong_type when the bytes are something else.
    """
    if not data.strip():
        raise ManualError("empty", "The manual's file is empty: put another in its place.")
    media = content_type.partition(";")[0].strip().lower()
    suffix = PurePosixPath(name.partition("?")[0]).suffix.lower()
    wanted = declared or _SUFFIXES.get(suffix) or _CONTENT_TYPES.get(media)
    found = _found(data)
    if found == "pdf" and declared in (None, "pdf"):
        return "pdf"
    if wanted is None and found != "unknown":
        return "text" if found == "words" else found
    fits = {
        "pdf": found == "pdf",
        "html": found == "html" or (found == "words" and bool(_TAG.search(data[:8192]))),
        "text": found == "words",
        "markdown": found == "words",
        None: False,
    }
    if wanted is None or not fits[wanted]:
        raise _wrong(wanted, found, data)
    return wanted


def _found(data: bytes) -> Literal["pdf", "html", "words", "unknown"]:
    start = data[:_LOOKED_AT]
    if b"%PDF-" in start and not start.startswith(tuple(_OTHERS)):
        return "pdf"
    if start.startswith(tuple(_OTHERS)):
        return "unknown"
    plain = start.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(plain):
        return "html"
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    return "unknown" if b"\0" in start and not wide else "words"


def _wrong(wanted: Kind | None, found: str, data: bytes) -> ManualError:
    is_a = next((text for magic, text in _OTHERS.items() if data.startswith(magic)), "")
    is_a = is_a or {"pdf": "a PDF", "html": "a web page, perhaps a login page"}.get(found, "")
    is_a = is_a or ("plain text" if found == "words" else "of an unknown kind")
    expected = _NAMES[wanted] if wanted else "PDF, HTML, Markdown or text"
    return ManualError(
        "wrong_type", f"The manual is {is_a}, not {expected}: correct the file or its type."
    )
