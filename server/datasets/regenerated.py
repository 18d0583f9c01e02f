"""Pairs out of regenerated answers: the later one, taken, over the earlier ones, rejected."""

from __future__ import annotations

from server.datasets.examples import Pair, Reason, pair_of, preferred_of, unusable
from server.datasets.splits import same_question
from server.storage.records import InteractionRow
from server.storage.store import Judged, Store

MAX_CHAIN = 8
"""So many earlier answers are looked at; whoever rejects more has asked for something else."""


async def regenerated_pairs(store: Store, judged: Judged, system: str = "") -> list[Pair | Reason]:
    """Return a pair for each rejected answer that the accepted or modified one came after.

    Follows `previous_response_id` as long as the question and product stay the same; what follows
    another question is a conversation, not a second try. Empty when there is no such answer.
    """
    about = judged.interaction
    if about is None or unusable(judged):
        return []
    if judged.feedback.action == "accept" and about.outcome != "completed":
        return []
    preferred = preferred_of(judged)
    return [
        pair_of(about, preferred, earlier.answer, system)
        for earlier in await _earlier(store, about)
        if await _was_rejected(store, earlier)
    ]


async def _earlier(store: Store, about: InteractionRow) -> list[InteractionRow]:
    found: list[InteractionRow] = []
    known = {about.response_id}
    previous = about.previous_response_id
    while previous and previous not in known and len(found) < MAX_CHAIN:
        known.add(previous)
        earlier = await store.interaction(previous, about.tenant)
        if earlier is None or earlier.product_id != about.product_id:
            break
        if not same_question(earlier.question, about.question):
            break
        found.append(earlier)
        previous = earlier.previous_response_id
    return found


async def _was_rejected(store: Store, answer: InteractionRow) -> bool:
    return any(
        row.action == "reject" and row.item_id is None and row.weight >= 1
        for row in await store.feedback_of(answer.response_id, answer.tenant)
    )
