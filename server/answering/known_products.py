"""Which product of the catalog a text names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from server.manuals.products import Product

# Names longer than this many words do not occur in catalogs.
MAX_NAME_WORDS = 10

_WORDS = re.compile(r"\w+")


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))


class KnownProducts:
    """Finds product names in texts by looking up every run of words."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._by_name: dict[tuple[str, ...], str] = {}
        for product in products:
            for name in (product.name, *product.aliases):
                words = _words(name)
                if 0 < len(words) <= MAX_NAME_WORDS:
                    self._by_name.setdefault(words, product.id)

    def finder(self, asked_about: Product) -> Callable[[str], str | None]:
        """Return a function from text to the id of the product it names, or None.

        Accessories of the product asked about win over others, longer names over shorter; the
        product asked about itself is no suggestion.
        """

        def find(text: str) -> str | None:
            found = [
                (product_id in asked_about.accessories, length, product_id)
                for length, product_id in self._named_in(text)
                if product_id != asked_about.id
            ]
            return max(found)[2] if found else None

        return find

    def _named_in(self, text: str) -> Iterable[tuple[int, str]]:
        words = _words(text)
        for start in range(len(words)):
            for end in range(start + 1, min(len(words), start + MAX_NAME_WORDS) + 1):
                product_id = self._by_name.get(words[start:end])
                if product_id is not None:
                    yield end - start, product_id
