"""Exports: files with a manifest, or one stream of bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from server.datasets.files import ExportError, Outbox
from server.datasets.formats import format_named
from server.datasets.lines import DEFAULT_SEED, Counts, Plan, lines
from server.datasets.manifest import Manifest, encode_manifest, manifest_of
from server.datasets.splits import SPLITS, Part, SplitName
from server.storage.store import Filter, Store

BUFFER_BYTES = 256 * 1024
"""Lines are handed on in pieces of about this size: one thread switch, one frame of HTTP."""


class UnknownLineError(Exception):
    """No line is the one to go on after: it was of another export, or was erased."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is: judgements read, lines made, the last event id."""

    judgements: int
    lines: int
    position: str | None


async def export(
    store: Store,
    where: Filter,
    format: str,  # noqa: A002 - the word that the command line and the REST call use
    split: SplitName,
    out_dir: Path,
    *,
    now: int,
    version: str,
    seed: str = DEFAULT_SEED,
    system: str = "",
    golden: frozenset[str] = frozenset(),
    after: str = "",
    on_progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Write the files of an export and their manifest to the new folder `out_dir`.

    The folder appears when it is whole; an error, a cancellation or a kill leaves nothing in its
    place (what a kill leaves out of sight the next export to the same folder removes). Judgements
    that arrive after `now` (Unix milliseconds) are not in it. `golden` holds questions in the form
    of `normalise_question` that must not be trained on. A later export with
    `after=manifest.lineage.last_event_id` goes on where this one ended.

    Raises `UnknownFormatError`, `ExportError`, `MissingExtraError` (Parquet), `OSError` and what
    the store raises.
    """
    plan = Plan(format_named(format), split, seed, system, golden, after)
    where = _closed(where, now)
    outbox = Outbox(out_dir, plan.format, [part for part, _ in SPLITS[split]])
    loop = asyncio.get_running_loop()
    counts = Counts()
    thread = ThreadPoolExecutor(1, thread_name_prefix="export")
    try:
        await loop.run_in_executor(thread, outbox.open)
        async for part, held in _pieces(store, where, plan, counts):
            await loop.run_in_executor(thread, outbox.write, part, held)
            _report(on_progress, counts)
        files = await loop.run_in_executor(thread, outbox.finish)
        manifest = manifest_of(plan, where, counts, files, now=now, version=version)
        await loop.run_in_executor(thread, outbox.publish, encode_manifest(manifest))
    except BaseException:
        # There is one thread: this comes after a write that a cancellation left running, and
        # is done even when a second cancellation does not wait for it.
        await asyncio.shield(loop.run_in_executor(thread, outbox.discard))
        raise
    finally:
        thread.shutdown(wait=False)
    _report(on_progress, counts)
    return manifest


class Stream:
    """The lines of an export as one stream of bytes, in pieces of about 256 KiB.

    `counts` tells what was read and left out so far; a stream that broke off is taken up with
    `after=stream.position`, the last event id whose lines were all handed on. `until` is the time
    (Unix ms) from which on judgements are not in it.
    """

    def __init__(self, store: Store, where: Filter, plan: Plan, starting_after: str = "") -> None:
        self.counts = Counts()
        self.until = where.until
        self.position: str | None = plan.after or None
        self.media_type = plan.format.media_type
        self._store = store
        self._where = where
        self._plan = plan
        self._starting_after = starting_after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield pieces; raises what the store raises, and `UnknownLineError`."""
        resumed = bool(self._plan.after or self._starting_after)
        held: list[bytes] = [] if resumed else [self._plan.format.header]
        size = len(held[0]) if held else 0
        made = lines(self._store, self._where, self._plan, self.counts)
        if self._starting_after:
            await self._skip(made)
        seen = self.counts.last_event_id
        async for _, line in made:
            if size >= BUFFER_BYTES and self.counts.last_event_id != seen:
                yield b"".join(held)
                self.position = seen
                held, size = [], 0
            seen = self.counts.last_event_id
            held.append(line)
            size += len(line)
        if size:
            yield b"".join(held)
        self.position = self.counts.last_event_id or self.position

    async def _skip(self, made: AsyncIterator[tuple[Part, bytes]]) -> None:
        """Make the lines anew up to the one that was named: what repeats them is then left out."""
        async for _, line in made:
            if hashlib.sha256(line.rstrip(b"\n")).hexdigest() == self._starting_after:
                return
        raise UnknownLineError("no line of this export has that SHA-256; begin anew")


def stream(
    store: Store,
    where: Filter,
    format: str,  # noqa: A002 - as above
    *,
    now: int,
    system: str = "",
    golden: frozenset[str] = frozenset(),
    after: str = "",
    starting_after: str = "",
) -> Stream:
    """Return all lines as one stream, without a split; for an HTTP response.

    A stream that broke off goes on after the event id `after`, or, for lines of JSON, after the one
    whose SHA-256 (hex, without its line end) is `starting_after`: with the same filter, `until` and
    format the two parts then are the whole stream, byte for byte. Neither repeats the header of a
    CSV. Raises `UnknownFormatError`, and `ExportError` for Parquet, whose footer needs a file, and
    for `starting_after` with a CSV, whose records may have line ends in them.
    """
    plan = Plan(format_named(format), system=system, golden=golden, after=after)
    if plan.format.name == "parquet":
        raise ExportError("parquet is written to files only; use `manicule export`")
    if starting_after and plan.format.kind == "table":
        raise ExportError("a table goes on `after` the event id of its last complete row")
    return Stream(store, _closed(where, now), plan, starting_after.lower())


async def _pieces(
    store: Store, where: Filter, plan: Plan, counts: Counts
) -> AsyncIterator[tuple[Part, list[bytes]]]:
    held: dict[Part, list[bytes]] = {}
    sizes: dict[Part, int] = {}
    async for part, line in lines(store, where, plan, counts):
        held.setdefault(part, []).append(line)
        sizes[part] = sizes.get(part, 0) + len(line)
        if sizes[part] >= BUFFER_BYTES:
            yield part, held.pop(part)
            del sizes[part]
    for part, rest in held.items():
        yield part, rest


def _closed(where: Filter, now: int) -> Filter:
    """Return a filter that what arrives from `now` on does not pass."""
    return replace(where, until=now if where.until is None else min(now, where.until))


def _report(on_progress: Callable[[Progress], None] | None, counts: Counts) -> None:
    if on_progress is not None:
        on_progress(Progress(counts.judgements, counts.lines.total(), counts.last_event_id))
