import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.llm.sse import ServerSentEvent, SseError, SseParser


def parse(*pieces: bytes) -> list[ServerSentEvent]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.close()


def feed_all(parser: SseParser, pieces: list[bytes]) -> None:
    for piece in pieces:
        parser.feed(piece)


def data_of(*pieces: bytes) -> list[bytes]:
    return [event.data for event in parse(*pieces)]


NASTY = (
    b"\xef\xbb\xbf: a comment\r\n"
    b"data: one\r\ndata:two\r\r\n"
    b"event: error\nid: 7\nretry: 250\ndata\n\n"
    b"no colon here\n:\n\n"
    b"data:  two spaces\rdata: \xe2\x80\xa8 caf\xc3\xa9 \xf0\x9f\x98\x80\r\r"
    b"id: a\0b\nretry: soon\ndata: nul \0 inside\x0b\x0c\x1c\xc2\x85\n\n"
    b"data: left open"
)
NASTY_EVENTS = [
    ServerSentEvent(b"one\ntwo"),
    ServerSentEvent(b"", "error", "7", 250),
    ServerSentEvent(b" two spaces\n\xe2\x80\xa8 caf\xc3\xa9 \xf0\x9f\x98\x80", id="7"),
    ServerSentEvent(b"nul \0 inside\x0b\x0c\x1c\xc2\x85", id="7"),
    ServerSentEvent(b"left open", id="7"),
]


def test_f47_every_rule_of_the_format_at_once():
    assert parse(NASTY) == NASTY_EVENTS


def test_f47_a_byte_at_a_time():
    assert parse(*(NASTY[i : i + 1] for i in range(len(NASTY)))) == NASTY_EVENTS


def test_f47_every_pair_of_cuts():
    for first in range(len(NASTY) + 1):
        for second in range(first, len(NASTY) + 1):
            assert parse(NASTY[:first], NASTY[first:second], NASTY[second:]) == NASTY_EVENTS


@given(
    st.lists(
        st.sampled_from(
            b"data:|data: |id:|event:|:|\r|\n|\r\n|\n\n|x|retry:1| |\0|"
            b"\xef\xbb\xbf|\xe2\x80\xa8|\xc3|\xa9".split(b"|")
        ),
        max_size=60,
    ),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_any_chunking_gives_the_same_events(pieces, cuts):
    whole = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    chunks = [whole[start:end] for start, end in itertools.pairwise(edges)]
    assert parse(*chunks) == parse(whole)


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",))))
def test_data_comes_out_as_it_went_in(text):
    assert data_of(b"data: " + text.encode() + b"\n\n") == [text.encode()]


def test_only_the_first_bom_is_taken_off():
    bom = b"\xef\xbb\xbf"
    assert data_of(bom + b"data: x\n\n" + bom + b"data: y\n\n") == [b"x"]


def test_empty_stream_and_blank_lines_give_nothing():
    assert parse(b"") == []
    assert parse(b"\n\r\n\r\n\n") == []


def test_event_name_does_not_outlive_its_event():
    assert parse(b"event: error\n\ndata: x\n\n") == [ServerSentEvent(b"x")]


def test_f47_a_line_over_the_cap_fails_however_it_is_cut():
    for size in (1, 7, 1000):
        parser = SseParser(max_line_bytes=100)
        line = b"data: " + b"x" * 95
        pieces = [line[start : start + size] for start in range(0, len(line), size)]
        with pytest.raises(SseError, match="100 bytes"):
            feed_all(parser, pieces)
    assert len(SseParser(max_line_bytes=101).feed(b"data: " + b"x" * 95 + b"\n\n")) == 1


def test_f47_a_line_that_never_ends_is_not_kept():
    parser = SseParser()
    with pytest.raises(SseError):
        feed_all(parser, [b"x" * 65_536] * 160)


def test_f47_an_event_over_the_cap_fails():
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(SseError, match="1000 bytes"):
        feed_all(parser, [b"data: 0123456789\n"] * 100)


def test_a_long_line_in_one_byte_feeds():
    # Work that grew with the square of the length would keep this from ever ending.
    line = b"data: " + b"x" * 900_000 + b"\n\n"
    parser = SseParser()
    events = [event for i in range(len(line)) for event in parser.feed(line[i : i + 1])]
    assert [len(event.data) for event in events] == [900_000]
