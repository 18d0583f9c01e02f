"""PDF: structure, title and decryption by pypdf, text and outline by pdfium.

pdfium keeps the spaces that pypdf loses in some PDFs and is many times faster; pypdf stands in for
pages and documents that pdfium cannot read, or reads without spaces.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

import pypdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]
from pypdf.errors import PyPdfError

from server.manuals.documents import ManualError, OutlineEntry
from server.manuals.extraction.reading import MAX_OUTLINE, MAX_OUTLINE_DEPTH, MAX_TITLE_CHARS, Sink

LOST_SPACES_CHARS: Final = 8.0
"""Mean length of words over which the spaces between them were lost: prose has 4 to 7."""
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_LATIN: Final = re.compile(r"[A-Za-z]")


def read(data: bytes, sink: Sink) -> None:
    """Give the pages of a PDF to `sink`; raises `ManualError`."""
    reader = _open_with_pypdf(data)
    if reader is not None:
        sink.title = _title(reader)
    document = _open_with_pdfium(data, reader)
    if document is None:
        if reader is None:
            raise ManualError("damaged", "The PDF is damaged and cannot be opened")
        _read_with_pypdf(reader, sink)
    else:
        _read_with_pdfium(document, reader, sink)
    if sink.done == 0:
        raise ManualError("empty", "The PDF has no pages")
    if not sink.has_text:
        raise ManualError(
            "scanned",
            "The pages are pictures without text; run OCR on the file, such as ocrmypdf",
        )


def _open_with_pypdf(data: bytes) -> pypdf.PdfReader | None:
    """Return the document, None when pypdf cannot read it; encrypted is a `ManualError`."""
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=True)
        locked = reader.is_encrypted and not reader.decrypt("")
    except (PyPdfError, ValueError, TypeError, KeyError, RecursionError, NotImplementedError):
        return None
    except Exception:  # noqa: BLE001 - a hostile file may find any fault; pdfium gets its turn
        return None
    if locked:
        raise ManualError("encrypted", "The PDF needs a password; store it without one")
    return reader


def _open_with_pdfium(data: bytes, reader: pypdf.PdfReader | None) -> pdfium.PdfDocument | None:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower() and reader is None:
            raise ManualError("encrypted", "The PDF needs a password") from None
        return None


def _title(reader: pypdf.PdfReader) -> str:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001 - the title is a nicety
        return ""
    return " ".join(str(title or "").split())[:MAX_TITLE_CHARS]


def _read_with_pdfium(
    document: pdfium.PdfDocument, reader: pypdf.PdfReader | None, sink: Sink
) -> None:
    total = len(document)
    sink.expect(total)
    sink.outline = list(_outline(document))
    letters, words = 0, 0
    for number in range(total):
        text = _page_text(document, reader, number)
        found = _WORD.findall(text) if _LATIN.search(text) else []
        words += len(found)
        letters += sum(map(len, found))
        sink.add(text, total)
    if reader is not None and words and letters / words > LOST_SPACES_CHARS:
        _try_again_with_pypdf(reader, letters / words, sink)


def _page_text(document: pdfium.PdfDocument, reader: pypdf.PdfReader | None, number: int) -> str:
    try:
        page = document[number]
        try:
            text_page = page.get_textpage()
            try:
                return str(text_page.get_text_range())
            finally:
                text_page.close()
        finally:
            page.close()
    except pdfium.PdfiumError:
        return _pypdf_text(reader, number) if reader is not None else ""


def _pypdf_text(reader: pypdf.PdfReader, number: int) -> str:
    try:
        return reader.pages[number].extract_text()
    except Exception:  # noqa: BLE001 - one unreadable page must not cost the others
        return ""


def _try_again_with_pypdf(reader: pypdf.PdfReader, mean: float, sink: Sink) -> None:
    """Read once more where pdfium seems to have lost the spaces; keep the better reading."""
    texts = [_pypdf_text(reader, number) for number in range(len(reader.pages))]
    found = [word for text in texts for word in _WORD.findall(text)]
    if not found or sum(map(len, found)) / len(found) >= mean:
        return
    sink.restart()
    for text in texts:
        sink.add(text, len(texts))


def _read_with_pypdf(reader: pypdf.PdfReader, sink: Sink) -> None:
    try:
        total = len(reader.pages)
    except Exception:  # noqa: BLE001 - see above
        raise ManualError("damaged", "The PDF is damaged: its pages cannot be found") from None
    sink.expect(total)
    for number in range(total):
        sink.add(_pypdf_text(reader, number), total)


def _outline(document: pdfium.PdfDocument) -> Iterator[OutlineEntry]:
    with contextlib.suppress(pdfium.PdfiumError):
        for bookmark in islice(document.get_toc(max_depth=MAX_OUTLINE_DEPTH), MAX_OUTLINE):
            title = " ".join(str(bookmark.get_title()).split())[:MAX_TITLE_CHARS]
            target = bookmark.get_dest()
            index = target.get_index() if target is not None else None
            if title and index is not None:
                yield OutlineEntry(title=title, page=index + 1, level=bookmark.level)
