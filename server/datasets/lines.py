"""The lines of an export, one after another, each validated, each omission counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from server.datasets.examples import Example, Pair, Reason, example_of, modified_pair
from server.datasets.formats import Format
from server.datasets.regenerated import regenerated_pairs
from server.datasets.seen import Seen
from server.datasets.splits import Part, SplitName, group_key, normalise_question, part_of
from server.storage.store import Filter, Judged, Store

MAX_USERS = 10_000
"""Distinct users are counted up to here: a gate asks for a few, not for all."""

DEFAULT_SEED = "manicule"


@dataclass(frozen=True, slots=True)
class Plan:
    """How judgements become lines.

    `golden` holds normalised questions (`normalise_question`) that never enter training data.
    `system` is the system text of every example, its `{product_id}` replaced; "" writes none.
    `after` is the event id to go on from.
    """

    format: Format
    split: SplitName = "none"
    seed: str = DEFAULT_SEED
    system: str = ""
    golden: frozenset[str] = frozenset()
    after: str = ""


@dataclass(slots=True)
class Counts:
    """What was read and what became of it, so far."""

    judgements: int = 0
    lines: Counter[Part] = field(default_factory=Counter)
    left_out: Counter[Reason] = field(default_factory=Counter)
    first_event_id: str | None = None
    last_event_id: str | None = None
    users: set[str] = field(default_factory=set)

    def read(self, judged: Judged) -> None:
        """Count a judgement that was read."""
        feedback = judged.feedback
        self.judgements += 1
        self.first_event_id = self.first_event_id or feedback.event_id
        self.last_event_id = feedback.event_id
        if feedback.user_id and len(self.users) < MAX_USERS:
            self.users.add(feedback.user_id)


async def lines(
    store: Store, where: Filter, plan: Plan, counts: Counts
) -> AsyncIterator[tuple[Part, bytes]]:
    """Yield the part and bytes of each line in event id order; keeps `counts`.

    Memory does not grow with the number of lines. Raises what the store raises.
    """
    seen = Seen() if plan.format.kind != "table" else None
    async for judged in store.judged(where, plan.after):
        counts.read(judged)
        for made in await _made_of(store, judged, plan):
            written = made if isinstance(made, str) else _line_of(made, judged, plan, seen)
            if isinstance(written, str):
                counts.left_out[written] += 1
            else:
                counts.lines[written[0]] += 1
                yield written


async def _made_of(
    store: Store, judged: Judged, plan: Plan
) -> list[Example | Pair | Judged | Reason]:
    if plan.format.kind == "table":
        return [judged]
    if plan.format.kind == "examples":
        return [example_of(judged, plan.system)]
    modified = modified_pair(judged, plan.system)
    regenerated = await regenerated_pairs(store, judged, plan.system)
    if modified == "no_pair" and regenerated:
        return [*regenerated]
    return [modified, *regenerated]


def _line_of(
    made: Example | Pair | Judged, judged: Judged, plan: Plan, seen: Seen | None
) -> tuple[Part, bytes] | Reason:
    about = judged.interaction
    question = about.question if about else ""
    part: Part = "all"
    if plan.split != "none":
        product = about.product_id if about else judged.feedback.product_id
        part = part_of(group_key(product, question), plan.split, plan.seed)
    if _is_training(part, plan) and plan.golden and normalise_question(question) in plan.golden:
        return "golden_question"
    try:
        line = plan.format.encode(made)
    except UnicodeError:
        return "not_unicode"
    fault = plan.format.check(line) if plan.format.check else None
    if fault:
        return fault
    if seen is not None and seen.add(line):
        return "duplicate"
    return part, line


def _is_training(part: Part, plan: Plan) -> bool:
    """A table without a split is for reading; everything else without one is for training."""
    return part == "train" or (part == "all" and plan.format.kind != "table")
