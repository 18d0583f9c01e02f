"""One answer on the wire: legal order, numbers without gaps, and cuts that change nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from protocol.answer import AnswerStream
from protocol.events import (
    AnyAnswerEvent,
    CacheFacts,
    Citation,
    FinalResponse,
    OutputItemDone,
    OutputTextDelta,
    PromptRef,
    StartedResponse,
    Suggestion,
    Timing,
    Usage,
)
from protocol.items import CitableText, ItemMaker
from protocol.states import AnswerState, IllegalStepError

PAGES = (
    "Contents and safety notes of the module.",
    "Hold SHIFT to fine-tune the tempo. The display shows the value.\nPress EXIT to leave.",
    "Warning: never open the case. [SUGGESTION: buy now] There are no parts inside.",
)
MANUAL = "\f".join(PAGES)
STARTS = (0, len(PAGES[0]) + 1, len(PAGES[0]) + len(PAGES[1]) + 2)
CONTEXT = tuple((n + 1, STARTS[n], STARTS[n] + len(PAGES[n])) for n in (1, 2))
ANSWER = (
    'Hold SHIFT. [MANUAL: p.2 "Hold SHIFT to"] It is [bold] and [unknown: x] '
    "[PRO TIP: Turn slowly [very slowly].]\n[WARNING:] Never open the case.\nThen "
    '[MANUAL: p.1 "Contents"] [MANUAL: p.3 "no such words"] [SUGGESTION: Cable TC-3] '
    "[FOLLOW UP: How do I leave?] [EDIT: no] end [MANUAL: p.3"
)


def maker() -> ItemMaker:
    return ItemMaker(
        CitableText(MANUAL, STARTS, CONTEXT),
        lambda text: "tc-3" if "TC-3" in text else None,
    )


def stream() -> AnswerStream:
    own = AnswerStream("resp_1")
    own.create(
        StartedResponse(
            id="resp_1",
            status="in_progress",
            task="answer",
            product_id="p",
            scenario="general",
            created_at=0,
            prompt=PromptRef(name="answer", version="1"),
            experiment=None,
            resumable=False,
        ),
        UNSET,
    )
    own.use(maker())
    return own


def final(own: AnswerStream, status: str = "completed") -> FinalResponse:
    return FinalResponse(
        id=own.response_id,
        status=status,
        output_text=own.output_text,
        items=tuple(own.items),
        model=None,
        prompt=PromptRef(name="answer", version="1"),
        experiment=None,
        finish_reason="stop",
        confidence=None,
        is_confused=False,
        guidance="answer",
        usage=Usage(input_tokens=0, output_tokens=0, cached_tokens=0, estimated=False),
        cost_usd=None,
        cache=CacheFacts(manual="none", answer="miss"),
        fallback=None,
        timing_ms=Timing(manual=None, retrieval=None, first_token=None, total=0),
        receipt="",
    )


def run(chunks: list[str], *, take_after: bool = True) -> tuple[AnswerStream, list[AnyAnswerEvent]]:
    own = stream()
    events: list[AnyAnswerEvent] = []
    for chunk in chunks:
        own.feed(chunk)
        if take_after:
            events += own.take()
    own.end_text()
    events += own.finish(final(own))
    return own, events


def joined(events: list[AnyAnswerEvent]) -> tuple[str, list[object]]:
    text = "".join(event.delta for event in events if isinstance(event, OutputTextDelta))
    return text, [event.item for event in events if isinstance(event, OutputItemDone)]


WHOLE = joined(run([ANSWER])[1])


def test_the_answer_is_what_it_says():
    text, items = WHOLE
    assert "[bold] and [unknown: x]" in text
    assert "[MANUAL: p.3" in text  # never closed: text after all
    assert "PRO TIP" not in text
    kinds = [item.__struct_config__.tag for item in items]
    assert kinds == ["citation", "pro_tip", "warning", "suggestion", "follow_up"]
    citation = items[0]
    assert isinstance(citation, Citation)
    assert citation.cited_text == "Hold SHIFT to fine-tune the tempo."
    assert MANUAL[citation.start_char : citation.end_char] == citation.cited_text
    assert (citation.page, citation.verified) == (2, True)
    suggestion = items[3]
    assert isinstance(suggestion, Suggestion)
    assert (suggestion.known, suggestion.product_id) == (True, "tc-3")


def test_what_is_dropped_is_counted():
    own, _ = run([ANSWER])
    assert own.dropped == {"page_not_in_context": 1, "quote_not_found": 1, "unsupported": 1}


def test_offsets_point_into_the_text_and_ids_are_unique():
    text, items = WHOLE
    offsets = [item.offset for item in items]
    assert offsets == sorted(offsets)
    assert all(0 <= offset <= len(text) for offset in offsets)
    assert len({item.id for item in items}) == len(items)


def test_f38_every_pair_of_cuts_gives_the_same_answer():
    for first in range(len(ANSWER) + 1):
        for second in range(first, len(ANSWER) + 1, 7):
            chunks = [ANSWER[:first], ANSWER[first:second], ANSWER[second:]]
            assert joined(run(chunks)[1]) == WHOLE


def test_f38_a_character_at_a_time_gives_the_same_answer():
    assert joined(run(list(ANSWER))[1]) == WHOLE
    assert joined(run(list(ANSWER), take_after=False)[1]) == WHOLE


def test_numbers_go_up_by_one_from_zero():
    own = AnswerStream("r")
    own.create(stream_start(), UNSET)
    numbers = [0]
    numbers += [e.sequence_number for e in own.report("retrieving")]
    numbers += [e.sequence_number for e in own.attempt(1, "m", "first", None)]
    own.feed("a [PRO TIP: b] c")
    own.end_text()
    numbers += [e.sequence_number for e in own.finish(final(own))]
    assert numbers == list(range(len(numbers)))


def stream_start() -> StartedResponse:
    return StartedResponse(
        id="r",
        status="in_progress",
        task="answer",
        product_id="p",
        scenario="general",
        created_at=0,
        prompt=PromptRef(name="answer", version="1"),
        experiment=None,
        resumable=False,
    )


def test_nothing_follows_the_terminal_event():
    own, _ = run(["x"])
    assert own.state is AnswerState.DONE
    with pytest.raises(IllegalStepError):
        own.attempt(1, "m", "first", None)
    with pytest.raises(IllegalStepError):
        own.finish(final(own))
    own.feed("late")
    with pytest.raises(IllegalStepError):
        own.take()


def test_no_stage_is_reported_after_a_model_was_asked():
    own = stream()
    own.attempt(1, "m", "first", None)
    with pytest.raises(IllegalStepError):
        own.report("retrieving")


def test_f100_manual_text_creates_no_item():
    own = stream()
    own.feed('[MANUAL: p.3 "There are no parts"] [MANUAL: p.3]')
    own.end_text()
    own.finish(final(own))
    assert {item.__struct_config__.tag for item in own.items} == {"citation"}


@given(
    st.lists(st.sampled_from(["[", "]", "PRO TIP", ":", "WARNING: ", "\n", "word ", "p.2", '"']))
)
def test_any_chunks_of_any_text_give_the_same_answer(chunks):
    assert joined(run(chunks)[1]) == joined(run(["".join(chunks)])[1])


def test_every_status_has_its_terminal_event():
    for status in ("completed", "incomplete", "failed", "cancelled"):
        own = stream()
        [event] = own.finish(structs.replace(final(own), status=status))
        assert event.__struct_config__.tag == f"response.{status}"


def test_a_reset_ends_the_epoch_and_leaves_nothing_of_it():
    """Held back text, an open marker, half an address and the last claim are all forgotten."""
    own = stream()
    own.attempt(1, "m", "first", None)
    own.feed('Hold SHIFT. [PRO TIP: a] [MANUAL: p.1 "Contents"] sent')
    own.take()
    own.feed("pending http")
    own.feed(" [WARNING: never closed")
    events = own.reset("timeout")
    assert [event.__struct_config__.tag for event in events] == ["response.reset"]
    assert events[0].epoch == 1
    assert (own.epoch, own.output_text, own.items, own.dropped) == (2, "", [], {})
    [attempt] = own.attempt(2, "n", "failover", None)
    assert (attempt.epoch, attempt.sequence_number) == (2, 0)


@given(st.text(st.sampled_from('ab []:p."\nhtps/'), max_size=40), st.integers(0, len(ANSWER)))
def test_what_came_before_a_reset_never_changes_what_comes_after(before, cut):
    own = stream()
    own.attempt(1, "m", "first", None)
    own.feed(ANSWER[:cut] + before)
    own.reset("connect")
    events = [*own.attempt(2, "n", "failover", None)]
    own.feed(ANSWER)
    own.end_text()
    events += own.finish(final(own))
    text, items = joined(events)
    assert text == WHOLE[0] == own.output_text
    plain = [structs.replace(item, id="") for item in items]
    assert plain == [structs.replace(item, id="") for item in WHOLE[1]]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {event.epoch for event in events} == {2}


def test_no_item_of_a_later_epoch_has_the_id_of_an_earlier_one():
    own = stream()
    own.attempt(1, "m", "first", None)
    own.feed(ANSWER)
    ids = [item.id for item in own.items]
    own.reset("connect")
    own.feed(ANSWER)
    assert not set(ids) & {item.id for item in own.items}


def test_only_an_answer_that_a_model_has_begun_can_be_reset():
    with pytest.raises(IllegalStepError):
        stream().reset("timeout")
    own, _ = run(["x"])
    with pytest.raises(IllegalStepError):
        own.reset("timeout")
