"""`manicule audit`: looks at the audit log and whether it is whole."""

from __future__ import annotations

import json
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from server.cli.options import DataDir, EnvFile, Json, fail, store_settings

FAILED, NO_LOG = 1, 3

audit_app = typer.Typer(no_args_is_help=True, help="Look at the audit log: who did what.")


@audit_app.command("verify")
def audit_verify(
    contains: Annotated[
        str | None,
        typer.Option(help="Hash of an entry, noted earlier, that must be there.", metavar="SHA256"),
    ] = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
) -> None:
    """Check that no entry of the audit log was changed, removed, moved or added.

    Prints the number of entries and the last hash. Keep that hash elsewhere: with --contains it
    shows later that the log is the same one and was not cut off before it.

    Exit codes: 0 whole, 1 broken (the first line that is), 2 usage, 3 no log there.

    Example: `manicule audit verify --contains 5f2d...`
    """
    from server.feedback.audit import entries, verify

    path = _path(data_dir, env_file)
    broken = verify(path, contains)
    if broken is not None:
        fail((f"{path}: line {broken.line} {broken.reason}.",), FAILED)
    last = next(iter(deque(entries(path), maxlen=1)), None)
    number, sha256 = (last.number, last.sha256) if last else (0, "nothing")
    sys.stdout.write(f"{path} is whole: {number} entries, the last one {sha256}\n")


@audit_app.command("list")
def audit_list(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most entries shown.")] = 50,
    as_json: Json = False,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
) -> None:
    """Show the last entries of the audit log, oldest first.

    Exit codes: 0 done, 2 usage, 3 no log there.

    Example: `manicule audit list --limit 10`
    """
    from server.cli.text import one_line
    from server.feedback.audit import entries

    for entry in deque(entries(_path(data_dir, env_file)), maxlen=limit):
        if as_json:
            sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")
            continue
        time = datetime.fromtimestamp(entry.time / 1000, UTC).isoformat(timespec="seconds")
        who = " ".join(word for word in (entry.role, entry.actor, entry.tenant) if word) or "-"
        facts = " ".join(f"{name}={json.dumps(value)}" for name, value in entry.facts.items())
        line = f"{entry.number:>6}  {time}  {entry.action:<10}  {who}  {facts}"
        sys.stdout.write(one_line(line).rstrip() + "\n")


def _path(data_dir: str | None, env_file: Path | None) -> Path:
    from server.feedback.audit import AUDIT_FILE

    path = store_settings(None, data_dir, env_file).data_dir / AUDIT_FILE
    if not path.is_file():
        fail(
            (f"There is no audit log at {path}. Nothing was noted yet, or name --data-dir.",),
            NO_LOG,
        )
    return path
