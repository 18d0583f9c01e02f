"""Exports over the store's twin: what is in the files, what is counted, what is told."""

import asyncio
import csv
import hashlib
import json
import tracemalloc
from dataclasses import dataclass

import msgspec
import pytest
from judgements import NOW_MS, interaction, judgement, uuid7

from server.datasets import lines
from server.datasets.files import ExportError
from server.datasets.manifest import Manifest
from server.datasets.service import export, stream
from server.datasets.splits import normalise_question
from server.storage.memory_store import MemoryStore
from server.storage.store import Filter, Judged, StoreUnavailableError

NOW = NOW_MS + 1000


def event_id(number):
    return uuid7(NOW_MS - 1_000_000 + number, number)


async def filled(*rows):
    store = MemoryStore()
    await store.open()
    await store.write(rows)
    return store


async def many(number, **fields):
    """A store with as many answers, each about a question of its own, each accepted."""
    rows = []
    for index in range(number):
        name = f"r{index}"
        rows.append(
            interaction(
                response_id=name, question=f"What is part {index}?", answer=f"Part {index}."
            )
        )
        rows.append(
            judgement(event_id=event_id(index), response_id=name, user_id=f"u{index % 5}", **fields)
        )
    return await filled(*rows)


async def run(store, folder, chosen="openai-chat", split="none", where=None, **options):
    return await export(
        store, where or Filter(), chosen, split, folder / "out", now=NOW, version="1.2", **options
    )


def documents(folder, name="all.jsonl"):
    return [json.loads(line) for line in (folder / "out" / name).read_bytes().splitlines()]


async def test_the_manifest_tells_what_the_files_hold(tmp_path):
    manifest = await run(await many(200), tmp_path, split="80/10/10")
    written = msgspec.json.decode((tmp_path / "out/manifest.json").read_bytes(), type=Manifest)
    assert written == manifest
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "train.jsonl", "validation.jsonl", "test.jsonl", "manifest.json",
    }  # fmt: skip
    for entry in manifest.files:
        data = (tmp_path / "out" / entry.name).read_bytes()
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert entry.bytes == len(data)
        assert entry.lines == len(data.splitlines())
    assert sum(entry.lines for entry in manifest.files) == manifest.lines == 200
    assert manifest.lineage.first_event_id == event_id(0)
    assert manifest.lineage.last_event_id == event_id(199)
    assert manifest.lineage.judgements == 200
    assert manifest.created_at == "2026-11-21T10:00:01Z"
    assert (manifest.server_version, manifest.seed) == ("1.2", "manicule")
    assert manifest.distinct_users == 5
    assert manifest.filters == {"until": NOW}


async def test_the_same_export_twice_gives_the_same_bytes(tmp_path):
    store = await many(50)
    first = await run(store, tmp_path / "a", split="80/20")
    second = await run(store, tmp_path / "b", split="80/20")
    assert first == second


async def test_all_examples_of_one_question_are_in_one_file(tmp_path):
    rows = []
    for index in range(300):
        asked = index % 30
        rows.append(
            interaction(
                response_id=f"r{index}",
                question=f"{'How to find' if index % 2 else 'HOW DO I FIND'} part {asked}?",
                answer=f"Answer {index}",
            )
        )
        rows.append(judgement(event_id=event_id(index), response_id=f"r{index}"))
    await run(await filled(*rows), tmp_path, split="80/10/10")
    homes: dict[str, set[str]] = {}
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        for document in documents(tmp_path, name):
            question = normalise_question(document["messages"][0]["content"])
            homes.setdefault(question, set()).add(name)
    assert len(homes) == 30
    assert {len(names) for names in homes.values()} == {1}
    assert {name for names in homes.values() for name in names} >= {"train.jsonl", "test.jsonl"}


async def test_golden_questions_never_enter_the_training_file(tmp_path):
    store = await many(100)
    golden = frozenset(normalise_question(f"what's PART {index}?") for index in range(20))
    plain = await run(store, tmp_path / "plain", split="80/20")
    guarded = await run(store, tmp_path / "guarded", split="80/20", golden=golden)
    asked = {
        normalise_question(document["messages"][0]["content"])
        for document in documents(tmp_path / "guarded", "train.jsonl")
    }
    assert asked.isdisjoint(golden)
    assert guarded.left_out["golden_question"] == plain.lines - guarded.lines > 0
    assert guarded.golden_questions == 20
    whole = await run(store, tmp_path / "whole", golden=golden)
    assert (whole.lines, whole.left_out) == (80, {"golden_question": 20})


async def test_every_judgement_is_a_line_or_has_a_reason(tmp_path):
    store = await filled(
        interaction(),
        interaction(response_id="r2", outcome="incomplete"),
        judgement(event_id=event_id(1)),
        judgement(event_id=event_id(2), action="reject"),
        judgement(event_id=event_id(3), action="rate", score=4),
        judgement(event_id=event_id(4), item_id="i1"),
        judgement(event_id=event_id(5), response_id="gone"),
        judgement(event_id=event_id(6), response_id="r2"),
        judgement(event_id=event_id(7), weight=0.5),
        judgement(event_id=event_id(8), user_id="another"),
        judgement(event_id=event_id(9), action="modify", final_text="x" * 70_000),
    )
    manifest = await run(store, tmp_path)
    assert manifest.lines == 1
    assert manifest.left_out == {
        "duplicate": 1, "item_judgement": 1, "no_interaction": 1, "not_counted": 1,
        "rated": 1, "rejected": 1, "too_long": 1, "unfinished_answer": 1,
    }  # fmt: skip
    assert manifest.lineage.judgements == manifest.lines + sum(manifest.left_out.values())
    assert manifest.warnings == ("all.jsonl has 1 lines; openai-chat wants 10",)


async def test_a_modified_answer_gives_a_pair(tmp_path):
    store = await filled(
        interaction(), judgement(action="modify", final_text="Fill the tank to MAX.")
    )
    await run(store, tmp_path, "openai-preference")
    [pair] = documents(tmp_path)
    assert pair["preferred_output"][0]["content"] == "Fill the tank to MAX."
    assert pair["non_preferred_output"][0]["content"] == "Fill the tank."


def chain(*answers, **changes):
    """Answers to one question, each regenerated from the one before."""
    rows = []
    for index, text in enumerate(answers):
        fields = {
            "response_id": f"r{index}",
            "answer": text,
            "previous_response_id": f"r{index - 1}" if index else None,
        }
        rows.append(interaction(**fields | changes.get(f"r{index}", {})))
    return rows


async def test_a_regenerated_answer_is_preferred_over_all_that_were_rejected(tmp_path):
    store = await filled(
        *chain("first", "second", "third"),
        judgement(event_id=event_id(1), response_id="r0", action="reject"),
        judgement(event_id=event_id(2), response_id="r1", action="reject"),
        judgement(event_id=event_id(3), response_id="r2"),
    )
    manifest = await run(store, tmp_path, "trl")
    pairs = documents(tmp_path)
    assert [pair["chosen"][0]["content"] for pair in pairs] == ["third", "third"]
    assert [pair["rejected"][0]["content"] for pair in pairs] == ["second", "first"]
    assert manifest.left_out == {"rejected": 2}


@pytest.mark.parametrize(
    ("rows", "left_out"),
    [
        (chain("first", "second", r1={"question": "Something else?"}), {"no_pair": 1}),
        (
            chain("1", "2", r0={"question": "Turn it on?"}, r1={"question": "Turn it off?"}),
            {"no_pair": 1},
        ),
        (chain("1", "2", r1={"question": "how do I  DESCALE it?"}), {}),
        (chain("first", "second", r1={"product_id": "other"}), {"no_pair": 1}),
        (chain("first", "second", r1={"outcome": "failed"}), {"no_pair": 1}),
        (chain("first", "second", r0={"previous_response_id": "r1"})[::-1], {}),
        (chain("same", "same"), {"same_text": 1}),
    ],
)
async def test_only_another_answer_to_the_same_question_makes_a_pair(tmp_path, rows, left_out):
    store = await filled(
        *rows,
        judgement(event_id=event_id(1), response_id="r0", action="reject"),
        judgement(event_id=event_id(2), response_id="r1"),
    )
    manifest = await run(store, tmp_path, "gemini-preference")
    assert manifest.left_out == {"rejected": 1, **left_out}
    assert manifest.lines == (0 if left_out else 1)


async def test_an_earlier_answer_that_nobody_rejected_makes_no_pair(tmp_path):
    store = await filled(
        *chain("first", "second"),
        judgement(event_id=event_id(1), response_id="r0"),
        judgement(event_id=event_id(2), response_id="r0", action="reject", item_id="i1"),
        judgement(event_id=event_id(3), response_id="r0", action="reject", weight=0.1),
        judgement(event_id=event_id(4), response_id="r1"),
    )
    manifest = await run(store, tmp_path, "trl")
    assert manifest.left_out == {"no_pair": 2, "rejected": 2}


async def test_filters_and_confidence_reach_the_store(tmp_path):
    store = await filled(
        interaction(),
        interaction(response_id="r2", answer="Other."),
        judgement(event_id=event_id(1), confidence=0.9, product_id="a"),
        judgement(event_id=event_id(2), confidence=0.6, product_id="a", response_id="r2"),
        judgement(event_id=event_id(3), confidence=0.9, product_id="b", response_id="r2"),
    )
    manifest = await run(store, tmp_path, where=Filter(product_id="a", min_confidence=0.7))
    assert manifest.lines == 1
    assert manifest.filters == {"product_id": "a", "min_confidence": 0.7, "until": NOW}


async def test_what_arrives_after_the_start_is_not_in_it(tmp_path):
    store = await filled(interaction(), judgement(received_at=NOW))
    for index, until in enumerate((None, NOW + 5000)):
        manifest = await run(store, tmp_path / str(index), where=Filter(until=until))
        assert manifest.lineage.judgements == 0
        assert manifest.filters == {"until": NOW}


async def test_a_later_export_goes_on_where_one_ended(tmp_path):
    store = await many(30)
    first = await run(store, tmp_path / "first", where=Filter(until=NOW_MS + 1))
    await store.write([interaction(response_id="new", question="New?"),
                       judgement(event_id=event_id(99), response_id="new")])  # fmt: skip
    later = await run(store, tmp_path / "later", after=first.lineage.last_event_id)
    assert (later.lines, later.lineage.first_event_id) == (1, event_id(99))


async def test_csv_has_a_row_for_every_judgement(tmp_path):
    store = await many(40, action="reject", comment="=1+1")
    manifest = await run(store, tmp_path, "csv", "80/20")
    rows = []
    for entry in manifest.files:
        with (tmp_path / "out" / entry.name).open(newline="") as file:
            found = list(csv.DictReader(file, strict=True))
        assert len(found) == entry.lines
        rows += found
    assert {row["event_id"] for row in rows} == {event_id(index) for index in range(40)}
    assert {row["comment"] for row in rows} == {"'=1+1"}


async def test_progress_is_told_and_ends_with_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("server.datasets.service.BUFFER_BYTES", 500)
    told = []
    manifest = await run(await many(60), tmp_path, on_progress=told.append)
    assert len(told) > 5
    assert [each.lines for each in told] == sorted(each.lines for each in told)
    assert (told[-1].judgements, told[-1].lines) == (60, manifest.lines)
    assert told[-1].position == event_id(59)


@dataclass
class Failing:
    """A store that fails after some judgements, or waits there for ever."""

    inner: MemoryStore
    good: int
    waits: bool = False

    async def judged(self, where, after=""):
        number = 0
        async for each in self.inner.judged(where, after):
            if number == self.good and self.waits:
                await asyncio.Event().wait()
            if number == self.good:
                raise StoreUnavailableError("gone")
            number += 1
            yield each


async def test_a_store_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(StoreUnavailableError):
        await run(Failing(await many(30), 20), tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_export_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("server.datasets.service.BUFFER_BYTES", 100)
    begun = asyncio.Event()
    task = asyncio.create_task(
        run(
            Failing(await many(30), 20, waits=True),
            tmp_path,
            on_progress=lambda progress: begun.set(),
        )
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_there_is_never_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="is there already"):
        await run(MemoryStore(), tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


async def test_two_exports_to_one_folder_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setattr("server.datasets.service.BUFFER_BYTES", 100)
    begun = asyncio.Event()
    slow = Failing(await many(30), 20, waits=True)
    first = asyncio.create_task(run(slow, tmp_path, on_progress=lambda progress: begun.set()))
    await begun.wait()
    with pytest.raises(ExportError, match="another export is writing"):
        await run(await many(5), tmp_path)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await run(await many(5), tmp_path)).lines == 5


async def test_a_stream_has_the_bytes_of_the_file(tmp_path):
    store = await many(50)
    for chosen in ("openai-chat", "gemini", "csv"):
        await run(store, tmp_path / chosen, chosen)
        [file] = (tmp_path / chosen / "out").glob("all.*")
        pieces = [piece async for piece in stream(store, Filter(), chosen, now=NOW)]
        assert b"".join(pieces) == file.read_bytes()


async def test_a_stream_that_broke_off_is_taken_up_at_its_position(monkeypatch):
    monkeypatch.setattr("server.datasets.service.BUFFER_BYTES", 700)
    store = await many(60)
    whole = b"".join([piece async for piece in stream(store, Filter(), "csv", now=NOW)])
    for cut in range(1, 12):
        first, got = stream(store, Filter(), "csv", now=NOW), []
        async for piece in first:
            if len(got) == cut:
                break
            got.append(piece)
        rest = stream(store, Filter(), "csv", now=NOW, after=first.position or "")
        got += [piece async for piece in rest]
        assert b"".join(got) == whole
        assert rest.position == event_id(59)


async def test_a_stream_is_never_cut_between_the_lines_of_one_judgement(monkeypatch):
    monkeypatch.setattr("server.datasets.service.BUFFER_BYTES", 1)
    rejected = [
        judgement(event_id=event_id(index), response_id=f"r{index}", action="reject")
        for index in range(4)
    ]
    last = judgement(event_id=event_id(9), response_id="r4")
    store = await filled(*chain("a", "b", "c", "d", "e"), *rejected, last)
    pieces = [piece async for piece in stream(store, Filter(), "trl", now=NOW)]
    assert [piece.count(b"\n") for piece in pieces] == [4]


async def test_a_stream_keeps_count():
    made = stream(await many(20), Filter(), "openai-preference", now=NOW)
    assert [piece async for piece in made] == []
    assert made.counts.left_out == {"no_pair": 20}
    assert made.media_type == "application/jsonl"


async def test_parquet_is_not_streamed():
    with pytest.raises(ExportError, match="files only"):
        stream(MemoryStore(), Filter(), "parquet", now=NOW)


def test_users_are_counted_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(lines, "MAX_USERS", 3)
    counts = lines.Counts()
    for index in range(10):
        counts.read(type("Judged", (), {"feedback": judgement(user_id=f"u{index}")})())
    assert len(counts.users) == 3


class Endless:
    """A store that makes its judgements as they are asked for and keeps none."""

    def __init__(self, number):
        self.number = number

    async def judged(self, where, after=""):
        for index in range(self.number):
            about = interaction(question=f"Part {index % 100}?", answer=f"{index} " * 400)
            yield Judged(judgement(event_id=event_id(index)), about)


async def test_memory_does_not_grow_with_the_number_of_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("server.datasets.service.BUFFER_BYTES", 20_000)
    peaks = []
    for number in (500, 5000):
        tracemalloc.start()
        manifest = await run(Endless(number), tmp_path / str(number), split="80/10/10")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert manifest.lines == number
    assert peaks[1] - peaks[0] < 500_000 < sum(entry.bytes for entry in manifest.files) / 10
