"""The products of a catalog, as values: what `catalog`, `folder` and `search` have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from server.manuals.documents import ManualSource

PRODUCT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CatalogError(Exception):
    """A catalog cannot be used. `problems` holds one line each: file, product, field, remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Product:
    """One product. `accessories` are ids of other products of the same catalog."""

    id: str
    name: str
    brand: str = ""
    category: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    accessories: tuple[str, ...] = ()
    manual: ManualSource | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All products, in the order of their file. Ids are unique."""

    products: tuple[Product, ...]
    _by_id: dict[str, Product] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {product.id: product for product in self.products}
        if len(by_id) != len(self.products):
            raise ValueError("product ids of a catalog must be unique")
        object.__setattr__(self, "_by_id", by_id)

    def get(self, id: str) -> Product | None:  # noqa: A002 - the field's own name
        """Return the product of this id, or None."""
        return self._by_id.get(id)

    def __len__(self) -> int:
        return len(self.products)
