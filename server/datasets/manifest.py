"""What an export says of itself: enough to check it, to repeat it and to find who is in it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import msgspec

from server.datasets.formats import Format
from server.datasets.lines import Counts, Plan
from server.datasets.splits import SPLITS
from server.storage.store import Filter

MANIFEST_NAME = "manifest.json"
SCHEMA = 1


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its part of the split, lines (without a header), bytes and SHA-256 in hex."""

    name: str
    part: str
    lines: int
    bytes: int
    sha256: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the lines come from: every judgement read lies between the two event ids.

    `after` was the event id to go on from; a later export goes on from `last_event_id`.
    """

    after: str
    first_event_id: str | None
    last_event_id: str | None
    judgements: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of an export, `manifest.json` beside its files.

    `left_out` counts judgements and lines by the reason why they are not in the files;
    `distinct_users` is exact up to 10,000 and stays there. `warnings` name what the format's reader
    will not like about a whole file (too few lines, too many bytes).
    """

    schema: int
    format: str
    server_version: str
    created_at: str
    filters: dict[str, str | int | float]
    split: str
    shares: dict[str, int]
    seed: str
    system: str
    golden_questions: int
    lineage: Lineage
    lines: int
    left_out: dict[str, int]
    distinct_users: int
    files: tuple[Entry, ...]
    warnings: tuple[str, ...]


def manifest_of(
    plan: Plan,
    where: Filter,
    counts: Counts,
    files: tuple[Entry, ...],
    *,
    now: int,
    version: str,
) -> Manifest:
    """Return the manifest; `now` is Unix milliseconds."""
    return Manifest(
        schema=SCHEMA,
        format=plan.format.name,
        server_version=version,
        created_at=datetime.fromtimestamp(now / 1000, UTC).isoformat().replace("+00:00", "Z"),
        filters={name: value for name, value in asdict(where).items() if value not in (None, "")},
        split=plan.split,
        shares=dict(SPLITS[plan.split]),
        seed=plan.seed,
        system=plan.system,
        golden_questions=len(plan.golden),
        lineage=Lineage(
            after=plan.after,
            first_event_id=counts.first_event_id,
            last_event_id=counts.last_event_id,
            judgements=counts.judgements,
        ),
        lines=counts.lines.total(),
        left_out=dict(sorted(counts.left_out.items())),
        distinct_users=len(counts.users),
        files=files,
        warnings=tuple(_warnings(plan.format, files)),
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _warnings(chosen: Format, files: tuple[Entry, ...]) -> list[str]:
    found = []
    for entry in files:
        if entry.part in ("all", "train") and entry.lines < chosen.min_lines:
            found.append(
                f"{entry.name} has {entry.lines} lines; {chosen.name} wants {chosen.min_lines}"
            )
        if chosen.max_bytes is not None and entry.bytes > chosen.max_bytes:
            found.append(
                f"{entry.name} has {entry.bytes} bytes; {chosen.name} takes {chosen.max_bytes}"
            )
    return found
