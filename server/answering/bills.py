"""What a question cost: all attempts together, whether they became the answer or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.llm.chain import Attempt, ChainEvent, Ended
from server.llm.port import ModelRequest, TextDelta, Usage
from server.llm.prices import Prices
from server.llm.usage import estimate_usage


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt used, in the provider's numbers or else estimated."""

    model: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Bill:
    """What all attempts used. `cost_usd` is null when one of their models has no known price."""

    usage: Usage
    cost_usd: float | None


def charges_of(events: Iterable[ChainEvent], request: ModelRequest) -> list[Charge]:
    """Return a charge for each attempt, also for those that still run."""
    charges: list[Charge] = []
    running: dict[int, Attempt] = {}
    counted: dict[int, Usage] = {}
    written: dict[int, int] = {}
    speaking = 0
    for event in events:
        match event:
            case Attempt():
                running[event.number] = event
                speaking = event.number
            case Ended():
                charges.append(Charge(running.pop(event.number).model, event.usage))
                speaking = event.heir.number if event.heir else speaking
            case TextDelta():
                written[speaking] = written.get(speaking, 0) + len(event.text)
            case Usage():
                counted[speaking] = event
    for number, attempt in running.items():
        usage = counted.get(number) or estimate_usage(request, written.get(number, 0))
        charges.append(Charge(attempt.model, usage))
    return charges


def bill_of(charges: Sequence[Charge], prices: Prices) -> Bill:
    """Return the sum."""
    usages = [charge.usage for charge in charges]
    costs = [prices.cost_usd(charge.model, charge.usage) for charge in charges]
    known = [cost for cost in costs if cost is not None]
    return Bill(
        Usage(
            sum(usage.input_tokens for usage in usages),
            sum(usage.output_tokens for usage in usages),
            sum(usage.cached_tokens for usage in usages),
            estimated=any(usage.estimated for usage in usages),
        ),
        sum(known) if len(known) == len(costs) else None,
    )
