"""PDF to pages: PDFium reads the text, pypdf is the second opinion where that fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pypdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]
from pypdf.errors import FileNotDecryptedError

from server.manuals.documents import ManualError
from server.manuals.extraction.results import (
    MAX_OUTLINE,
    MAX_TITLE_CHARS,
    Result,
    Results,
    too_many_pages,
)
from server.manuals.extraction.wording import mean_word_chars, normalised, one_line

LONGEST_MEAN_WORD: Final = 8.0
"""Mean letters of a word beyond which the spaces are taken for lost (German has about 6)."""
MAX_SECOND_READINGS: Final = 200
"""Pages that pypdf may read again for their spaces: it needs 20 times as long."""
_PASSWORD_ERROR: Final = 4  # FPDF_ERR_PASSWORD
_FAULTS: Final = (Exception, RecursionError)


class _SecondReader:
    """pypdf, strict and opened only when wanted: lenient, it spends minutes on hostile files."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reader: pypdf.PdfReader | None = None
        self._broken = False

    def reader(self) -> pypdf.PdfReader:
        if self._reader is None:
            reader = pypdf.PdfReader(io.BytesIO(self._data), strict=True)
            if reader.is_encrypted and not reader.decrypt(""):
                raise FileNotDecryptedError("it has a password")
            self._reader = reader
        return self._reader

    def page(self, index: int) -> str | None:
        """The text of a page, None when pypdf cannot read it either."""
        if self._broken:
            return None
        try:
            return self.reader().pages[index].extract_text()
        except MemoryError:
            raise
        except _FAULTS:
            self._broken = self._reader is None
            return None


def read_pdf(data: bytes, max_pages: int) -> Results:
    """Yield each page as it is read, then title and outline.

    Raises `ManualError`: encrypted (the empty password does not open it), damaged, too_large,
    scanned (not one character).
    """
    second = _SecondReader(data)
    document = _opened(data)
    total = len(document) if document is not None else _second_length(second)
    if total == 0:
        raise _damaged()
    if total > max_pages:
        raise too_many_pages(max_pages)
    yield Result(pages_total=total)
    seen = False
    for text in _texts(document, second, total):
        seen = seen or bool(text.strip())
        yield Result(page=text)
    if not seen:
        raise ManualError(
            "scanned",
            "The manual's pages are pictures without text: run OCR over it (ocrmypdf) first.",
        )
    yield _facts(document, second, total)


def _opened(data: bytes) -> pdfium.PdfDocument | None:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_ERROR:
            raise _encrypted() from None
        return None


def _second_length(second: _SecondReader) -> int:
    try:
        return len(second.reader().pages)
    except FileNotDecryptedError:
        raise _encrypted() from None
    except MemoryError:
        raise
    except _FAULTS:
        raise _damaged() from None


def _texts(document: pdfium.PdfDocument | None, second: _SecondReader, total: int) -> Iterator[str]:
    failed = readings = 0
    for index in range(total):
        text = _first_reading(document, index)
        run_together = text is not None and mean_word_chars(text) > LONGEST_MEAN_WORD
        if text is None or (run_together and readings < MAX_SECOND_READINGS):
            readings += run_together
            other = second.page(index)
            if text is None and other is None:
                failed += 1
            elif other is not None and (
                text is None or 0 < mean_word_chars(other) < mean_word_chars(text)
            ):
                text = other
        yield normalised(text or "")
    if failed == total:
        raise _damaged()


def _first_reading(document: pdfium.PdfDocument | None, index: int) -> str | None:
    if document is None:
        return None
    try:
        page = document[index]
        try:
            textpage = page.get_textpage()
            try:
                return str(textpage.get_text_range())
            finally:
                textpage.close()
        finally:
            page.close()
    except pdfium.PdfiumError:
        return None


def _facts(document: pdfium.PdfDocument | None, second: _SecondReader, total: int) -> Result:
    """Title and outline; a fault in them loses them and nothing else."""
    title, outline = "", list[tuple[str, int, int]]()
    with suppress(*_FAULTS):
        if document is not None:
            title = document.get_metadata_value("Title")
        else:
            metadata = second.reader().metadata
            title = (metadata.title if metadata is not None else "") or ""
    with suppress(*_FAULTS):
        if document is not None:
            outline = list(_outline(document, total))
    return Result(title=one_line(title, MAX_TITLE_CHARS), outline=outline)


def _outline(document: pdfium.PdfDocument, total: int) -> Iterator[tuple[str, int, int]]:
    """PDFium gives entry by entry; pypdf would build all of them first, however many."""
    for count, entry in enumerate(document.get_toc(max_depth=8)):
        if count >= MAX_OUTLINE:
            return
        target = entry.get_dest()
        index = target.get_index() if target is not None else None
        title = one_line(entry.get_title(), MAX_TITLE_CHARS)
        if title and index is not None and 0 <= index < total:
            yield title, index + 1, entry.level


def _encrypted() -> ManualError:
    return ManualError("encrypted", "The manual needs a password: save it without one.")


def _damaged() -> ManualError:
    return ManualError("damaged", "The manual is not a readable PDF: export or download it again.")
