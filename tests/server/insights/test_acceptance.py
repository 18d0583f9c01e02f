"""Groups and their rates: decided events only, nothing lost in a sum."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from server.insights.acceptance import acceptance_of, decided, group_of, merge, merge_by_key
from server.insights.results import Acceptance
from server.storage.store import Tally

counts = st.integers(0, 500)
tallies = st.builds(
    lambda key, numbers, scores: Tally((key,), *numbers, len(scores), sum(scores)),
    st.sampled_from(["a", "b", "c", ""]),
    st.tuples(counts, counts, counts, counts),
    st.lists(st.integers(1, 5), max_size=30),
)


def test_both_rates_are_over_decided_events_only():
    tally = Tally((), accepted=60, rejected=30, modified=10, dismissed=500, rated=7, score_sum=30)
    group = group_of(tally)
    assert group.counts.decided == 100
    assert group.acceptance_rate.value == 0.7
    assert group.acceptance_rate.of == 100
    assert group.accepted_only_rate.value == 0.6
    assert group.rating.reason == "too few ratings: 7 of at least 20"


def test_dismissals_and_rates_alone_decide_nothing():
    group = group_of(Tally((), dismissed=1000, rated=1000, score_sum=4000))
    assert group.acceptance_rate.value is None
    assert group.acceptance_rate.reason == "too few decided events: 0 of at least 20"
    assert group.rating.mean == 4


def test_groups_come_largest_first_and_an_empty_name_is_null():
    found = acceptance_of(
        [Tally(("tip",), 5), Tally(("",), 9), Tally(("edit",), 5)], by=("item_type",)
    )
    assert [group.key for group in found.groups] == [
        {"item_type": None}, {"item_type": "edit"}, {"item_type": "tip"},
    ]  # fmt: skip
    assert found.overall.counts.accepted == 19
    assert found.overall.key == {}


def test_confidence_bins_stand_in_their_order():
    found = acceptance_of([Tally(("0.1",), 1), Tally(("0.9",), 99)], by=("confidence_bin",))
    assert [group.key["confidence_bin"] for group in found.groups] == ["0.1", "0.9"]


def test_what_is_past_the_limit_stays_in_the_sum_and_is_counted():
    people = [Tally((f"u{index}",), accepted=index + 1) for index in range(10)]
    found = acceptance_of(people, by=("user_id",), limit=4)
    assert [group.key["user_id"] for group in found.groups] == ["u9", "u8", "u7", "u6"]
    assert found.left_off == 6
    assert found.overall.counts.accepted == 55


def test_nothing_at_all_is_zeros_and_reasons():
    found = acceptance_of([], by=("model",))
    assert found.groups == ()
    assert found.overall.counts.decided == 0
    assert found.overall.acceptance_rate.reason is not None


@given(st.lists(tallies, max_size=30))
def test_groups_sum_to_the_whole_however_they_are_cut(parts):
    found = acceptance_of(parts, by=("product_id",))
    assert sum(group.counts.decided for group in found.groups) == found.overall.counts.decided
    assert merge(merge_by_key(parts)) == merge(parts)
    assert len({group.key["product_id"] for group in found.groups}) == len(found.groups)


@given(tallies)
def test_accepted_alone_is_never_more_than_accepted_with_modified(tally):
    group = group_of(tally)
    if decided(tally) < 20:
        assert group.acceptance_rate.reason
        assert group.accepted_only_rate.reason
    else:
        assert 0 <= group.accepted_only_rate.value <= group.acceptance_rate.value <= 1


@given(st.lists(tallies, max_size=5))
def test_results_go_through_json_unchanged(parts):
    found = acceptance_of(parts, by=("model",))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Acceptance) == found
