"""A catalog made from a folder of manuals: a product for each PDF, HTML, Markdown or text file."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Final, Literal

from server.manuals.documents import ManualSource
from server.manuals.products import Catalog, CatalogError, Product
from server.manuals.titles import read_titles

FILE_TYPES: Final[dict[str, Literal["pdf", "html", "text", "markdown"]]] = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
}
MAX_FILES: Final = 20_000
"""A folder with more manuals is refused: a catalog file is the form for those."""
MAX_FOLDERS: Final = 20_000
"""Folders looked into; a disk's root given by mistake is refused instead of walked for hours."""
MAX_DEPTH: Final = 8
"""Levels of sub-folders looked into; what lies deeper is left out."""
MAX_NAME_CHARS: Final = 120
_ID_CHARS: Final = 64
_DIGEST_CHARS: Final = 6

_TITLE_BYTES: Final = 8192
_WRITTEN_TITLES: Final = {
    "markdown": re.compile(r"^#[ \t]+([^\n]+?)[ \t#]*$", re.MULTILINE),
    "html": re.compile(r"<title[^>]*>([^<]+)</title>", re.IGNORECASE),
}
_FILE_NAME_LIKE: Final = re.compile(
    r"\.(pdf|docx?|indd|qx[dp]|fm|book|pages|tex|dvi|ps|rtf|odt|xlsx?|pptx?|html?|ai|cdr)$", re.I
)
_BARE_WORDS: Final = re.compile(
    r"(the |an? )?(untitled|title|document|manual|cover|layout|print|page|contents?|"
    r"((user|owner|operation|operating|instruction|reference|quick start|service|product)[’'s]* ?"
    r"(manual|guide|instructions?|handbook)?))( \d+)?",
    re.I,
)


def catalog_from_folder(folder: Path) -> Catalog:
    """Make a catalog from the manuals in `folder` and its sub-folders.

    The id is a slug of the file name, the name the PDF's own title where it says something and
    else the file name, the category the first sub-folder. Hidden files are left out. The same
    files give the same catalog. Raises `CatalogError` when there is no folder, no manual in it
    or too many.
    """
    paths = sorted(_manuals(folder), key=lambda path: (len(path.parts), path.parts))
    if not paths:
        kinds = " ".join(FILE_TYPES)
        raise CatalogError([f"{folder}: holds no manuals. Put files there that end in {kinds}."])
    titles = read_titles([path for path in paths if FILE_TYPES[path.suffix.lower()] == "pdf"])
    titles |= {path: _written_title(path) for path in paths if path not in titles}
    names = {path: sensible_title(titles[path]) for path in paths}
    uses = Counter(name.casefold() for name in names.values())
    taken: set[str] = set()
    products = []
    for path in paths:
        title = names[path] if uses[names[path].casefold()] == 1 else ""
        products.append(_product(path, path.relative_to(folder), title, taken))
    return Catalog(tuple(products))


def _product(path: Path, relative: Path, title: str, taken: set[str]) -> Product:
    stem = _readable(path.stem)
    digest = hashlib.sha256(os.fsencode(relative.as_posix())).hexdigest()[:_DIGEST_CHARS]
    id_ = slug(path.stem)
    if not id_ or id_ in taken:
        id_ = f"{id_[: _ID_CHARS - _DIGEST_CHARS - 1] or 'manual'}-{digest}"
    taken.add(id_)
    return Product(
        id=id_,
        name=title or stem or id_,
        category=_readable(relative.parts[0]) if len(relative.parts) > 1 else "",
        aliases=(stem,) if title and stem and stem.casefold() != title.casefold() else (),
        manual=ManualSource(path=str(path.absolute()), type=FILE_TYPES[path.suffix.lower()]),
    )


def _manuals(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise CatalogError([f"{folder}: is not a folder. Give the folder that holds the manuals."])
    found = 0
    for visited, (root, folders, files) in enumerate(os.walk(folder)):
        if visited >= MAX_FOLDERS:
            raise CatalogError([f"{folder}: over {MAX_FOLDERS} sub-folders. Give a smaller one."])
        deep = len(Path(root).relative_to(folder).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(f for f in folders if not f.startswith("."))
        for name in files:
            path = Path(root, name)
            if name.startswith(".") or path.suffix.lower() not in FILE_TYPES or not path.is_file():
                continue
            found += 1
            if found > MAX_FILES:
                raise CatalogError([f"{folder}: over {MAX_FILES} manuals. Use a catalog file."])
            yield path


def slug(name: str) -> str:
    """Return a product id made from a file name, without its ending; empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9.]+", "-", plain.lower()).strip("-.")[:_ID_CHARS].rstrip("-.")


def _written_title(path: Path) -> str:
    """Return what a Markdown or HTML file calls itself near its beginning, or nothing."""
    pattern = _WRITTEN_TITLES.get(FILE_TYPES[path.suffix.lower()])
    if pattern is None:
        return ""
    try:
        with path.open("rb") as file:
            start = file.read(_TITLE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    found = pattern.search(start)
    return unescape(found[1]) if found else ""


def sensible_title(title: str) -> str:
    """Return a PDF's title cleaned, or nothing when it would not tell a person which product it is.

    Left out are file names, programs' defaults ("Microsoft Word - ..." keeps what follows) and
    bare words such as "User Manual".
    """
    title = _readable(re.sub(r"^Microsoft \w+ - ", "", title.strip()), separators="")
    if _FILE_NAME_LIKE.search(title) or _BARE_WORDS.fullmatch(title):
        return ""
    letters = sum(char.isalpha() for char in title)
    if not 3 <= len(title) <= MAX_NAME_CHARS or letters < 2 or "\ufffd" in title or "\\" in title:
        return ""
    return title


def _readable(name: str, separators: str = "_") -> str:
    """The text in composed form, one line, printable, underscores of file names as spaces."""
    text = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
    text = "".join(char if char.isprintable() else " " for char in text)
    for separator in separators:
        text = text.replace(separator, " ")
    return " ".join(text.split())[:MAX_NAME_CHARS].strip()
