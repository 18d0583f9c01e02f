"""`manicule dlq`: what the store refused: listed, shown, sent again, removed."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import track
from rich.text import Text

from server.cli.noting import note
from server.cli.stats import make_console, make_table
from server.cli.stores import DONE, FAILED, complain, run_on_store
from server.cli.text import one_line
from server.config.settings import Settings
from server.feedback import dead_letters
from server.feedback.dead_letters import Replay
from server.storage.letters import tenant_of
from server.storage.records import DeadLetter
from server.storage.store import Store

CHUNK: Final = 50
"""Letters sent again between two steps of the progress."""
REASON_CHARS: Final = 80
TENANT_CHARS: Final = 40


def run_list(
    settings: Settings, *, limit: int, after: int, tenant: str | None, as_json: bool
) -> int:
    """Print a row for each letter; return the exit code."""

    async def work(store: Store) -> int:
        letters = await dead_letters.list_letters(store, limit=limit, after=after, tenant=tenant)
        if as_json:
            for letter in letters:
                _print_json(letter)
            return DONE
        if not letters:
            sys.stdout.write("No dead letters.\n")
            return DONE
        table = make_table()
        table.add_column("id", justify="right", no_wrap=True)
        table.add_column("received (UTC)", no_wrap=True)
        table.add_column("tenant")
        table.add_column("bytes", justify="right", no_wrap=True)
        table.add_column("reason")
        for letter in letters:
            reason = Text(one_line(letter.reason, REASON_CHARS))
            size = f"{len(letter.original):,}"
            words = (time_text(letter.received_at), _tenant(letter), size)
            table.add_row(str(letter.id), *words, reason)
        make_console().print(table)
        if len(letters) == limit:
            sys.stdout.write(f"There may be more: add --after {letters[-1].id}\n")
        return DONE

    return run_on_store(settings, work)


def run_show(settings: Settings, letter_id: int, *, as_json: bool) -> int:
    """Print one letter in full; return the exit code."""

    async def work(store: Store) -> int:
        letter = await dead_letters.show(store, letter_id)
        if letter is None:
            return complain(f"There is no dead letter {letter_id}. See: manicule dlq list", FAILED)
        if as_json:
            _print_json(letter)
            return DONE
        facts = (
            ("id", str(letter.id)),
            ("received", f"{time_text(letter.received_at)} UTC"),
            ("tenant", _tenant(letter)),
            ("attempts", str(letter.attempts)),
            ("bytes", f"{len(letter.original):,}"),
            ("reason", one_line(letter.reason)),
        )
        for name, value in facts:
            sys.stdout.write(f"{name:<10}{value}\n")
        sys.stdout.write(f"\n{dead_letters.readable(letter)}\n")
        return DONE

    return run_on_store(settings, work)


def run_replay(settings: Settings, ids: Sequence[int] | None, *, as_json: bool) -> int:
    """Send letters again, None meaning all; print what became of them; return the exit code."""

    async def work(store: Store) -> int:
        chosen = list(dict.fromkeys(ids)) if ids is not None else []
        if ids is None:
            chosen = [letter.id async for letter in _all_letters(store)]
        if chosen:
            await note(settings, "dead_letters.replay", {"letters": len(chosen)})
        counts = Replay()
        steps = range(0, len(chosen), CHUNK)
        console = Console(stderr=True)
        quiet = not console.is_terminal
        for step in track(steps, "Sending", console=console, transient=True, disable=quiet):
            counts = _sum(counts, await dead_letters.replay(store, chosen[step : step + CHUNK]))
        absent = len(chosen) - sum(asdict(counts).values()) if ids is not None else 0
        if as_json:
            sys.stdout.write(json.dumps(asdict(counts) | {"absent": absent}) + "\n")
        else:
            _show_replay(counts, absent)
        stayed = counts.refused + counts.conflicts + counts.unreadable
        return FAILED if stayed or absent else DONE

    return run_on_store(settings, work, announcing=True)


def run_purge(
    settings: Settings, ids: Sequence[int] | None, before_ms: int | None, *, yes: bool
) -> int:
    """Remove letters for good, those named or older than a time; return the exit code."""

    async def work(store: Store) -> int:
        doomed = await _doomed(store, ids, before_ms)
        if not doomed:
            sys.stdout.write("No such dead letters. Nothing was removed.\n")
            return DONE if ids is None else FAILED
        noun = "dead letter" if len(doomed) == 1 else "dead letters"
        if not yes and not confirmed(f"Remove {len(doomed)} {noun} for good?"):
            return FAILED
        await note(settings, "dead_letters.purge", {"letters": len(doomed)})
        removed = await dead_letters.purge(store, doomed)
        sys.stdout.write(f"{removed} {noun} removed.\n")
        return FAILED if ids is not None and removed < len(set(ids)) else DONE

    return run_on_store(settings, work)


def confirmed(question: str) -> bool:
    """Ask on the terminal; False, and a line that says so, for no and where nobody answers."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    # The event loop turns Ctrl-C into a cancellation, which a read that waits does not notice;
    # nothing is under way here, so the process may just end.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        answer = sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)
    if answer.strip().casefold() in ("y", "yes"):
        return True
    sys.stderr.write("" if answer.endswith("\n") else "\n")
    complain("Nothing was removed. Say --yes to be asked nothing.", FAILED)
    return False


def time_text(time_ms: int) -> str:
    """Return a time in Unix milliseconds as a person reads it, UTC, to the second."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(time_ms)


async def _doomed(store: Store, ids: Sequence[int] | None, before_ms: int | None) -> list[int]:
    """Return which of the letters named, or older than a time, are there."""
    if ids is not None:
        return [one for one in dict.fromkeys(ids) if await dead_letters.show(store, one)]
    return [
        letter.id
        async for letter in _all_letters(store)
        if before_ms is not None and letter.received_at < before_ms
    ]


async def _all_letters(store: Store) -> AsyncIterator[DeadLetter]:
    after = 0
    while page := await dead_letters.list_letters(store, limit=dead_letters.PAGE, after=after):
        for letter in page:
            yield letter
        after = page[-1].id


def _tenant(letter: DeadLetter) -> str:
    """Return whose it is, for a terminal: `?` where nobody can tell."""
    tenant = tenant_of(letter.original)
    return "?" if tenant is None else one_line(tenant, TENANT_CHARS)


def _sum(one: Replay, other: Replay) -> Replay:
    added = asdict(other)
    return Replay(**{name: count + added[name] for name, count in asdict(one).items()})


def _show_replay(counts: Replay, absent: int) -> None:
    lines = (
        (counts.stored, "stored"),
        (counts.duplicates, "in the store already"),
        (counts.refused, "refused again; they stay"),
        (counts.conflicts, "under an id that other content has; they stay"),
        (counts.unreadable, "unreadable; they stay"),
        (absent, "not there"),
    )
    said = [f"{number:>6}  {what}\n" for number, what in lines if number]
    sys.stdout.write("".join(said) or "No dead letters.\n")


def _print_json(letter: DeadLetter) -> None:
    """The original is in base64: its bytes may be anything."""
    sys.stdout.write(msgspec.json.encode(letter).decode() + "\n")
