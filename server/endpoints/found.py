"""Products that match a search, as the client is told of them."""

from __future__ import annotations

from protocol.events import FoundManual, FoundProduct
from protocol.messages import CatalogSearch
from server.endpoints.node import Node


def find_products(node: Node, event: CatalogSearch) -> tuple[FoundProduct, ...]:
    """Search the catalog, timed and counted."""
    started = node.clock()
    hits = node.search.search(event.query, event.limit)
    node.metrics.observe("search_seconds", node.clock() - started)
    node.metrics.count("searches_total")
    return tuple(
        FoundProduct(
            id=hit.product.id,
            name=hit.product.name,
            brand=hit.product.brand,
            category=hit.product.category,
            score=hit.score,
            manual=FoundManual(
                available=hit.product.manual is not None,
                cached=node.manuals.is_cached(hit.product.id),
            ),
        )
        for hit in hits
    )
