"""From a marker that the model wrote to the item that the client gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET

from protocol.citations import Dropped, parse_pointer, resolve
from protocol.events import AnyItem, Citation, FollowUp, ProTip, Suggestion, WarningNote
from protocol.markers import MarkerKind

DropReason = Literal["malformed", "page_not_in_context", "quote_not_found", "unsupported"]

# How much of the answer before a marker is taken for what the citation supports.
MAX_CLAIM_CHARS = 400


@dataclass(frozen=True, slots=True)
class CitableText:
    """The manual as citations see it: its text and the spans of it that the model was given.

    `context` holds (page, start_char, end_char), offsets in `text`.
    """

    text: str = ""
    page_starts: tuple[int, ...] = ()
    context: tuple[tuple[int, int, int], ...] = ()


def no_product(_text: str) -> str | None:
    """Find no product: the catalog that knows nothing."""
    return None


@dataclass(frozen=True, slots=True)
class ItemMaker:
    """Makes items; `find_product` returns the id of the product that a suggestion names."""

    manual: CitableText = field(default_factory=CitableText)
    find_product: Callable[[str], str | None] = no_product

    def make(
        self, kind: MarkerKind, body: str, item_id: str, offset: int, claim: str
    ) -> AnyItem | DropReason:
        """Return the item for a marker of this kind and body, or why there is none.

        `claim` is the answer's text before the marker.
        """
        match kind:
            case "citation":
                return self._cite(body, item_id, offset, claim[-MAX_CLAIM_CHARS:])
            case "suggestion":
                product_id = self.find_product(body)
                return Suggestion(
                    id=item_id,
                    offset=offset,
                    text=body,
                    known=product_id is not None,
                    product_id=UNSET if product_id is None else product_id,
                )
            case "pro_tip":
                return ProTip(id=item_id, offset=offset, text=body)
            case "warning":
                return WarningNote(id=item_id, offset=offset, text=body)
            case "follow_up":
                return FollowUp(id=item_id, offset=offset, text=body)
            case "edit":  # belongs to the task `improve`, never to an answer
                return "unsupported"

    def _cite(self, body: str, item_id: str, offset: int, claim: str) -> AnyItem | DropReason:
        pointer = parse_pointer(body)
        if pointer is None:
            return "malformed"
        found = resolve(
            pointer, self.manual.text, self.manual.page_starts, self.manual.context, claim
        )
        if isinstance(found, Dropped):
            return found.reason
        return Citation(
            id=item_id,
            offset=offset,
            page=found.page,
            cited_text=found.cited_text,
            start_char=found.start_char,
            end_char=found.end_char,
            verified=found.verified,
        )
