"""What is asked of the store and what comes back."""

from collections.abc import Sequence
from datetime import date

import msgspec
import pytest
from judgements import DAY_MS, NOW_MS, judgement, uuid7

from server.insights import service
from server.insights.results import UserStats
from server.insights.trends import start_of
from server.storage.memory_store import MemoryStore
from server.storage.store import Filter, Tally

NOW = start_of(date(2026, 11, 21)) + 40_000_000


class Tallies:
    """A store that keeps what it was asked and gives the same tallies for the same groups."""

    def __init__(self, **tallies: list[Tally]) -> None:
        self.tallies = tallies
        self.asked: list[tuple[tuple[str, ...], Filter]] = []

    async def tally(self, by: Sequence[str], where: Filter) -> list[Tally]:
        self.asked.append((tuple(by), where))
        return self.tallies.get("_".join(by), [])


async def test_acceptance_by_two_fields_names_both():
    store = Tallies(model_arm=[Tally(("m1", "b"), accepted=30, rejected=10)])
    found = await service.acceptance(store, Filter(tenant="t"), ("model", "arm"))
    assert found.by == ("model", "arm")
    assert found.groups[0].key == {"model": "m1", "arm": "b"}
    assert found.groups[0].acceptance_rate.value == 0.75
    assert store.asked == [(("model", "arm"), Filter(tenant="t"))]


async def test_trends_cover_thirty_days_up_to_now_in_whole_days():
    store = Tallies()
    trend = await service.trends(store, Filter(), now=NOW)
    assert len(trend.points) == 30
    assert (trend.points[0].start, trend.points[-1].start) == ("2026-10-23", "2026-11-21")
    [(by, where)] = store.asked
    assert by == ("day",)
    assert where.since == start_of(date(2026, 10, 23))
    assert where.until == start_of(date(2026, 11, 22))


async def test_an_until_at_midnight_does_not_add_a_day():
    since, until = start_of(date(2026, 11, 2)), start_of(date(2026, 11, 9))
    trend = await service.trends(Tallies(), Filter(since=since, until=until), now=NOW, every="week")
    assert [(point.start, point.days) for point in trend.points] == [("2026-11-02", 7)]


async def test_a_range_the_wrong_way_round_is_refused_before_the_store_is_asked():
    store = Tallies()
    with pytest.raises(ValueError, match="ends before"):
        await service.trends(store, Filter(since=NOW, until=1000), now=NOW)
    assert store.asked == []


async def test_user_stats_are_one_persons_and_go_through_json():
    store = Tallies(
        item_type_product_id=[
            Tally(("", "td-17"), 12, 4, 4),
            Tally(("pro_tip", "td-17"), 10, 10),
        ],
        day=[Tally(("2026-11-21",), 22, 14, 4)],
    )
    found = await service.user_stats(store, "ann", Filter(tenant="t"), now=NOW)
    assert {where.user_id for _, where in store.asked} == {"ann"}
    assert {where.tenant for _, where in store.asked} == {"t"}
    assert found.overall.counts.decided == 40
    assert found.overall.acceptance_rate.value == 26 / 40
    assert [group.key for group in found.by_type] == [
        {"item_type": None}, {"item_type": "pro_tip"},
    ]  # fmt: skip
    assert [group.counts.decided for group in found.by_product] == [40]
    assert found.trend.points[-1].counts.decided == 40
    assert msgspec.json.decode(msgspec.json.encode(found), type=UserStats) == found


async def test_of_somebody_unknown_there_are_zeros_and_reasons():
    found = await service.user_stats(Tallies(), "nobody", Filter(), now=NOW)
    assert found.overall.counts.decided == 0
    assert found.overall.acceptance_rate.reason == "too few decided events: 0 of at least 20"


async def test_over_a_store_weights_bins_and_days_come_out_as_they_went_in():
    store = MemoryStore()
    await store.open()
    await store.write(
        [
            judgement(
                event_id=uuid7(NOW_MS, number),
                action="accept" if number % 4 else "reject",
                confidence=0.75 if number < 60 else None,
                weight=1.0 if number < 40 else 0.5,
                received_at=NOW_MS - DAY_MS * (number % 3),
            )
            for number in range(80)
        ]
    )
    found = await service.acceptance(store, Filter(), ("confidence_bin",))
    assert [group.key for group in found.groups] == [
        {"confidence_bin": None}, {"confidence_bin": "0.7"},
    ]  # fmt: skip
    assert [group.counts.decided for group in found.groups] == [10, 50]
    assert found.groups[0].acceptance_rate.reason == "too few decided events: 10 of at least 20"
    assert found.overall.acceptance_rate.value == 0.75
    trend = await service.trends(store, Filter(), now=NOW_MS)
    assert [point.counts.decided for point in trend.points[-4:]] == [0, 19.5, 20, 20.5]
    assert trend.overall.counts.decided == 60
    weekly = await service.trends(store, Filter(), now=NOW_MS, every="week")
    assert weekly.points[-1].start == "2026-11-16"
    assert weekly.points[-1].counts.decided == 60
