"""`manicule export`: judgements as training files, with progress and what was left out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from server.cli.noting import facts_of, note
from server.cli.stats import make_console
from server.cli.stores import DONE, FAILED, USAGE, complain, run_on_store
from server.cli.text import one_line
from server.config.settings import Settings
from server.datasets import service
from server.datasets.files import ExportError
from server.datasets.formats import UnknownFormatError, format_named
from server.datasets.lines import DEFAULT_SEED
from server.datasets.manifest import MANIFEST_NAME, Manifest, encode_manifest
from server.datasets.parquet import MissingExtraError
from server.datasets.service import Progress
from server.datasets.splits import SPLITS, SplitName, normalise_question
from server.storage.store import Filter, Store

REASONS: Final = {
    "no_interaction": "the question and its answer were never stored",
    "item_judgement": "about one item, which says nothing of the whole answer",
    "rejected": "rejected, and nothing better is known",
    "rated": "a score is no text to learn",
    "dismissed": "dismissing decides nothing",
    "no_pair": "no other answer to compare with",
    "not_counted": "decided anew by the same person, or more that day than is counted",
    "unfinished_answer": "the answer was cut, failed or cancelled",
    "empty_question": "the question is empty",
    "empty_answer": "an answer is empty",
    "same_text": "both answers are the same",
    "too_long": "longer than the format takes",
    "not_unicode": "a text that UTF-8 cannot say",
    "invalid_line": "breaks a rule of the format",
    "duplicate": "the same line is there already",
    "golden_question": "a golden question, which must not be trained on",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What `manicule export` was told."""

    where: Filter
    format: str
    output: Path
    split: str = "none"
    after: str = ""
    system: str = ""
    seed: str = DEFAULT_SEED
    golden: Path | None = None
    as_json: bool = False


class GoldenError(Exception):
    """The file of golden questions cannot be used; the message says which line, and why."""


def run_export(settings: Settings, order: Order) -> int:
    """Write the export and print its summary; return the exit code."""
    try:
        format_named(order.format)
        split = split_named(order.split)
        golden = read_golden(order.golden) if order.golden else frozenset[str]()
    except UnknownFormatError as error:
        return complain(f"--format: {error}", USAGE)
    except ValueError as error:
        return complain(f"--split: {error}", USAGE)
    except GoldenError as error:
        return complain(f"--golden: {error}", USAGE)
    return run_on_store(settings, lambda store: _export(settings, store, order, split, golden))


def split_named(name: str) -> SplitName:
    """Return the split of that name; raises `ValueError`."""
    for known in SPLITS:
        if name == known:
            return known
    raise ValueError(f"no split {name!r}. There are {', '.join(SPLITS)}.")


def read_golden(path: Path) -> frozenset[str]:
    """Return the questions in a file of JSON lines that each have a `question`, normalised.

    Raises `GoldenError`: a golden set read by half would let its other half be trained on.
    """
    questions = set()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    questions.add(normalise_question(_question(line, f"{path}, line {number}")))
    except OSError as error:
        raise GoldenError(f"{path}: {error.strerror}. Name a file of JSON lines.") from None
    except UnicodeDecodeError:
        raise GoldenError(f"{path}: is not UTF-8 text. Name a file of JSON lines.") from None
    if not questions:
        raise GoldenError(f"{path}: holds no question. Leave the option out to have none.")
    return frozenset(questions)


def _question(line: str, place: str) -> str:
    try:
        question = json.loads(line)["question"]
    except (ValueError, LookupError, TypeError, RecursionError):
        question = None
    if not isinstance(question, str) or not question.strip():
        raise GoldenError(f'{place}: write {{"question": "..."}} on each line.')
    return question


async def _export(
    settings: Settings, store: Store, order: Order, split: SplitName, golden: frozenset[str]
) -> int:
    facts = {"format": order.format, "split": split, "after": order.after}
    await note(settings, "export", facts | facts_of(order.where), tenant=order.where.tenant)
    try:
        with _progress() as on_progress:
            manifest = await service.export(
                store, order.where, order.format, split, order.output,
                now=int(time.time() * 1000), version=version("manicule"), seed=order.seed,
                system=order.system, golden=golden, after=order.after, on_progress=on_progress,
            )  # fmt: skip
    except (ExportError, MissingExtraError) as error:
        return complain(str(error), FAILED)
    except OSError as error:
        where = error.filename or order.output
        return complain(f"{where}: {error.strerror}. Choose another place.", FAILED)
    if not manifest.lines:
        _remove(order.output, manifest)
    if order.as_json:
        sys.stdout.write(encode_manifest(manifest).decode())
    else:
        show_manifest(make_console(), manifest, order.output)
    if manifest.lines:
        return DONE
    return complain(f"Nothing could be exported, so {order.output} was not made.", FAILED)


def _remove(folder: Path, manifest: Manifest) -> None:
    """Take back an export without lines, so that the same command can be given again later."""
    for name in (*(entry.name for entry in manifest.files), MANIFEST_NAME):
        (folder / name).unlink()
    folder.rmdir()


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    """Give what draws the progress on a terminal, or None where nobody looks."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with ProgressBar(*columns, console=console, transient=True) as drawn:
        task = drawn.add_task("Reading judgements")

        def show(progress: Progress) -> None:
            said = f"{progress.judgements:,} judgements read, {progress.lines:,} lines written"
            drawn.update(task, description=said)

        yield show


def show_manifest(out: Console, manifest: Manifest, folder: Path) -> None:
    """Draw what was written and what was left out."""

    def say(text: str, style: str = "") -> None:
        out.print(Text(one_line(text) if "\n" not in text else text, style=style), soft_wrap=True)

    lineage = manifest.lineage
    if manifest.lines:
        say(f"{folder}: {manifest.format}, split {manifest.split}", "bold")
        out.print(_files_table(manifest))
    users = f"{manifest.distinct_users:,}"
    say(f"{manifest.lines:,} lines of {lineage.judgements:,} judgements by {users} known users")
    if manifest.left_out:
        say("\nLeft out", "bold")
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        for reason, number in sorted(manifest.left_out.items(), key=lambda each: -each[1]):
            table.add_row(f"{number:,}", reason, Text(REASONS.get(reason, ""), style="dim"))
        out.print(table)
    for warning in manifest.warnings:
        say(f"Warning: {warning}", "yellow")
    if manifest.lines and lineage.last_event_id:
        say(f"\nLater judgements alone: add --after {lineage.last_event_id}")


def _files_table(manifest: Manifest) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    for entry in manifest.files:
        size = f"{entry.bytes:,} bytes"
        table.add_row(entry.name, f"{entry.lines:,} lines", size, f"sha256 {entry.sha256[:16]}…")
    return table
