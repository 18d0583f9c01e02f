"""Answers of long ago: their final form, from the store of record."""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from protocol.events import (
    AnyItem,
    CacheFacts,
    CacheState,
    FallbackName,
    FinalResponse,
    FinishReason,
    Guidance,
    ManualStatus,
    PromptRef,
    Timing,
    Usage,
)
from protocol.receipts import Receipt, sign
from server.answering.topics import Asker
from server.storage.records import InteractionRow
from server.storage.store import Store

Status = Literal["completed", "incomplete", "failed", "cancelled"]
STATUSES = ("completed", "incomplete", "failed")


class KeptAnswers:
    """Finds answers in the store. `key` signs their receipts anew."""

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = key

    async def find(self, response_id: str, asker: Asker) -> FinalResponse | None:
        """Return the final form of an answer of `asker`; None when there is none.

        Raises `StoreUnavailableError`.
        """
        row = await self._store.interaction(response_id, asker.tenant)
        if row is None or row.principal != asker.name:
            return None
        return self._final(row)

    def _final(self, row: InteractionRow) -> FinalResponse:
        name, _, rest = (row.prompt_version or "").partition("/")
        status = row.outcome if row.outcome in STATUSES else "cancelled"
        return FinalResponse(
            id=row.response_id,
            status=cast("Status", status),
            output_text=row.answer,
            items=msgspec.json.decode(row.items, type=tuple[AnyItem, ...]),
            model=row.model,
            prompt=PromptRef(name=name, version=rest.rpartition("/")[2]),
            experiment=None,
            finish_reason=cast("FinishReason", row.finish_reason),
            confidence=row.confidence,
            is_confused=row.is_confused,
            guidance=cast("Guidance", row.guidance or "answer"),
            usage=Usage(
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                cached_tokens=0,
                estimated=True,
            ),
            cost_usd=row.cost_usd,
            cache=CacheFacts(
                manual=cast("ManualStatus", row.manual_status or "none"),
                answer=cast("CacheState", row.answer_cache or "miss"),
            ),
            fallback=cast("FallbackName | None", row.fallback),
            timing_ms=Timing(manual=None, retrieval=None, first_token=None, total=row.latency_ms),
            receipt=self._receipt(row),
        )

    def _receipt(self, row: InteractionRow) -> str:
        return sign(
            Receipt(
                response_id=row.response_id,
                product_id=row.product_id,
                manual_sha256=row.manual_sha256,
                prompt=row.prompt_version or "",
                arm=row.arm,
                model=row.model,
                confidence=row.confidence,
                time=(row.started_at + int(row.latency_ms)) // 1000,
                tenant=row.tenant,
            ),
            self._key,
        )
