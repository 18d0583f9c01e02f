"""The catalog file: which products there are and where their manuals are. TOML or JSON.

    [[product]]
    id = "td-17"
    name = "TD-17"
    brand = "Korven"
    manual = { path = "td-17.pdf" }

`load_catalog` reads one and reports every problem at once; `catalog_from_folder` makes one from
the files of a folder; `dump_toml` writes one that `load_catalog` reads back.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import urlsplit

from server.manuals.documents import ManualSource
from server.manuals.folder import catalog_from_folder
from server.manuals.products import PRODUCT_ID, Catalog, CatalogError, Product

__all__ = [
    "Catalog",
    "CatalogError",
    "Product",
    "catalog_from_folder",
    "dump_toml",
    "load_catalog",
]

ManualType = Literal["pdf", "html", "text", "markdown"]

MAX_CATALOG_BYTES: Final = 128 * 2**20
"""100,000 products take about 30 MB; a file far larger is not a catalog. It is refused."""
MAX_PROBLEMS: Final = 20
"""Problems told of one file; more would scroll the first away. The rest is counted."""

_TEXT_FIELDS: Final = {"name": 200, "brand": 100, "category": 100, "description": 4000}
_LIST_FIELDS: Final = {"aliases": 50, "accessories": 200}
_PRODUCT_FIELDS: Final = ("id", *_TEXT_FIELDS, *_LIST_FIELDS, "manual")
_MANUAL_FIELDS: Final = ("url", "path", "type", "backup_url")
_MAX_ITEM_CHARS: Final = 200


def load_catalog(path: Path) -> Catalog:
    """Read a catalog file (`.toml` or `.json`).

    Relative manual paths are taken from the file's own folder and become absolute. Raises
    `CatalogError`, with a line for each problem that names file, product, field and remedy.
    """
    rows = _read_rows(path)
    reader = _Reader(path)
    products = [reader.product(row, number) for number, row in enumerate(rows, start=1)]
    reader.check_accessories(products)
    if not rows:
        reader.problems.append(f"{path}: no products. Add a [[product]] with id and name.")
    if len(reader.problems) > MAX_PROBLEMS:
        more = len(reader.problems) - MAX_PROBLEMS
        reader.problems[MAX_PROBLEMS:] = [f"{path}: and {more} more problems."]
    if reader.problems:
        raise CatalogError(reader.problems)
    return Catalog(tuple(products))


def _read_rows(path: Path) -> list[Any]:
    kind = path.suffix.lower()
    if kind not in (".toml", ".json"):
        raise CatalogError([f"{path}: a catalog ends in .toml or .json. Rename the file."])
    try:
        size = path.stat().st_size
        if size > MAX_CATALOG_BYTES:
            raise CatalogError(
                [f"{path}: {size} bytes is over {MAX_CATALOG_BYTES}. Split the catalog."]
            )
        text = path.read_text("utf-8-sig")
        data = tomllib.loads(text) if kind == ".toml" else json.loads(text)
    except OSError as error:
        raise CatalogError(
            [f"{path}: cannot be read ({error.strerror}). Check the path and its permissions."]
        ) from error
    except (ValueError, RecursionError) as error:  # syntax and encoding errors are ValueErrors
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CatalogError(
            [f"{path}: not valid {kind[1:].upper()}: {reason}. Correct the file there."]
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("product"), list):
        near = difflib.get_close_matches("product", data if isinstance(data, dict) else [], 1)
        hint = f" Rename `{near[0]}` to `product`." if near and near[0] != "product" else ""
        form = "[[product]] tables" if kind == ".toml" else '{"product": [...]}'
        raise CatalogError([f"{path}: a catalog is made of {form}.{hint}"])
    unknown = [name for name in data if name != "product"]
    if unknown:
        raise CatalogError([f"{path}: unknown key `{unknown[0]}` at the top. Remove it."])
    return cast("list[Any]", data["product"])


class _Reader:
    """Turns rows into products and gathers what is wrong with them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.seen: set[str] = set()

    def report(self, product: str, field: str, message: str) -> None:
        self.problems.append(f"{self.path}: product {product}, field `{field}`: {message}")

    def product(self, row: object, number: int) -> Product:
        if not isinstance(row, dict):
            self.report(f"number {number}", "product", "is not a table. Give it id and name.")
            return Product(f"number-{number}", "")
        given = row.get("id")
        label = f'"{given}"' if isinstance(given, str) and given.isprintable() else ""
        label = f"number {number}" if not label or len(label) > 80 else label
        self.check_fields(label, "", row, _PRODUCT_FIELDS)
        return Product(
            id=self.product_id(label, given),
            name=self.text(label, row, "name", required=True),
            brand=self.text(label, row, "brand"),
            category=self.text(label, row, "category"),
            description=self.text(label, row, "description"),
            aliases=self.texts(label, row, "aliases"),
            accessories=self.texts(label, row, "accessories"),
            manual=self.manual(label, row.get("manual")),
        )

    def check_fields(
        self, label: str, prefix: str, row: Mapping[str, Any], known: tuple[str, ...]
    ) -> None:
        for name in row:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                remedy = f"Did you mean `{prefix}{near[0]}`?" if near else "Remove it."
                self.report(label, f"{prefix}{name}", f"unknown. {remedy}")

    def product_id(self, label: str, given: object) -> str:
        if not isinstance(given, str) or not PRODUCT_ID.fullmatch(given):
            self.report(label, "id", "use 1 to 64 of A-Z a-z 0-9 . _ - and nothing else.")
            return ""
        if given in self.seen:
            self.report(label, "id", "is used twice. Give each product an id of its own.")
        self.seen.add(given)
        return given

    def text(
        self, label: str, row: Mapping[str, Any], field: str, *, required: bool = False
    ) -> str:
        given = row.get(field, "")
        if not isinstance(given, str):
            self.report(label, field, "is not a string. Put it in quotes.")
            return ""
        value = " ".join(given.split())
        if required and not value:
            self.report(label, field, "is missing. Give the product a name people search for.")
        if len(value) > _TEXT_FIELDS[field]:
            self.report(label, field, f"is over {_TEXT_FIELDS[field]} characters. Shorten it.")
        if not value.isprintable():
            self.report(label, field, "holds control characters. Remove them.")
        return value

    def texts(self, label: str, row: Mapping[str, Any], field: str) -> tuple[str, ...]:
        values = row.get(field, [])
        if not isinstance(values, list) or not all(
            isinstance(value, str) and value.strip() and value.isprintable() for value in values
        ):
            self.report(label, field, 'is not a list of strings. Write it as ["one", "two"].')
            return ()
        if len(values) > _LIST_FIELDS[field] or any(len(v) > _MAX_ITEM_CHARS for v in values):
            limit = f"{_LIST_FIELDS[field]} entries of {_MAX_ITEM_CHARS} characters"
            self.report(label, field, f"is over {limit}. Shorten it.")
        return tuple(dict.fromkeys(value.strip() for value in values))

    def manual(self, label: str, value: object) -> ManualSource | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            self.report(label, "manual", 'is not a table. Write { path = "..." } or { url = ... }.')
            return None
        self.check_fields(label, "manual.", value, _MANUAL_FIELDS)
        for name in _MANUAL_FIELDS:
            if not isinstance(value.get(name, ""), str):
                self.report(label, f"manual.{name}", "is not a string. Put it in quotes.")
                return None
        url, path, kind = value.get("url"), value.get("path"), value.get("type")
        if bool(url) == bool(path):
            both = "url and path are both given" if url else "neither url nor path is given"
            self.report(label, "manual", f"{both}. Give exactly one of them.")
        for name in ("url", "backup_url"):
            self.check_url(label, name, value.get(name))
        if kind is not None and kind not in get_args(ManualType):
            self.report(label, "manual.type", f"use one of {', '.join(get_args(ManualType))}.")
        if path:
            path = os.path.abspath(self.path.parent / path)  # noqa: PTH100 - keeps symlinks
            if not Path(path).is_file():
                remedy = "Paths are taken from the catalog's folder; correct it or add the file."
                self.report(label, "manual.path", f"no such file: {path}. {remedy}")
        return ManualSource(url or None, path or None, kind, value.get("backup_url") or None)

    def check_url(self, label: str, name: str, url: str | None) -> None:
        if not url:
            return
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            good = False
        if not good or not url.isprintable() or " " in url:
            self.report(label, f"manual.{name}", "is not an address. Begin it with https://.")

    def check_accessories(self, products: list[Product]) -> None:
        ids = [product.id for product in products if product.id]
        known = set(ids)
        for product in products:
            for accessory in product.accessories:
                if accessory not in known:
                    near = difflib.get_close_matches(accessory, ids[:5000], 1)
                    remedy = f'Did you mean "{near[0]}"?' if near else "Add it or remove it here."
                    message = f'"{accessory}" is no product of this catalog. {remedy}'
                    self.report(f'"{product.id}"', "accessories", message)
                elif accessory == product.id:
                    message = "a product is not its own accessory. Remove it."
                    self.report(f'"{product.id}"', "accessories", message)


def dump_toml(catalog: Catalog, relative_to: Path | None = None) -> str:
    """Write a catalog as TOML that `load_catalog` reads back to the same products.

    With `relative_to` (the folder the file will be in), manual paths below it are written
    relative, so that folder and file can move together. Raises `CatalogError` for a path that TOML
    cannot hold.
    """
    return "\n".join(_dump_product(product, relative_to) for product in catalog.products)


def _dump_product(product: Product, relative_to: Path | None) -> str:
    lines = ["[[product]]", f"id = {_quote(product.id)}", f"name = {_quote(product.name)}"]
    texts = {name: getattr(product, name) for name in ("brand", "category", "description")}
    lines += [f"{name} = {_quote(text)}" for name, text in texts.items() if text]
    lists = {name: getattr(product, name) for name in ("aliases", "accessories")}
    lines += [f"{name} = [{', '.join(map(_quote, each))}]" for name, each in lists.items() if each]
    if product.manual:
        pairs = {name: getattr(product.manual, name) for name in _MANUAL_FIELDS}
        if any("\udc80" <= char <= "\udcff" for char in pairs["path"] or ""):  # undecodable bytes
            raise CatalogError([f"{pairs['path']!a}: the name is not UTF-8. Rename the file."])
        if pairs["path"] and relative_to and Path(pairs["path"]).is_relative_to(relative_to):
            pairs["path"] = Path(pairs["path"]).relative_to(relative_to).as_posix()
        inner = ", ".join(f"{name} = {_quote(value)}" for name, value in pairs.items() if value)
        lines.append(f"manual = {{ {inner} }}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
