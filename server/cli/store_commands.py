"""Commands on the store of record: what can be said. What each does is in a module of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.options import (
    USAGE,
    DataDir,
    EnvFile,
    Json,
    Store,
    Tenant,
    Yes,
    fail,
    now_ms,
    store_settings,
)

Since = Annotated[
    str | None,
    typer.Option(help="From this date or time (UTC), or the day so long ago: 7d.", metavar="TIME"),
]
Until = Annotated[
    str | None, typer.Option(help="Before this date or time; the same forms.", metavar="TIME")
]
Product = Annotated[str | None, typer.Option("--product", "-p", help="Product id.", metavar="ID")]
Scenario = Annotated[str | None, typer.Option(help="general, studio, live, ...", metavar="NAME")]
PromptVersion = Annotated[
    str | None, typer.Option(help="Prompt, as name/scenario/version.", metavar="PROMPT")
]
ModelName = Annotated[str | None, typer.Option(help="Model that answered.", metavar="NAME")]
Arm = Annotated[str | None, typer.Option(help="Arm of an experiment.", metavar="NAME")]
ItemType = Annotated[
    str | None, typer.Option(help="suggestion, pro_tip, warning, ...", metavar="TYPE")
]
User = Annotated[str | None, typer.Option(help="Who judged.", metavar="ID")]
MinConfidence = Annotated[
    float | None, typer.Option(help="Answers at least this sure, 0 to 1.", metavar="X")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (migrate, backup, stats, export, erase, expire):
        app.command()(command)


def migrate(
    store: Store = None, data_dir: DataDir = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """Bring the store to what this version needs, and say which migrations that took.

    A server does this at its start too; run it before a rolling upgrade, with a database user that
    may make tables. Several at once wait for each other. It never takes away what an older version
    still reads.

    Exit codes: 0 done or nothing to do, 1 the store is newer than this program, 2 usage, 3 the
    store cannot be reached.

    Examples:

    - `manicule migrate`
    - `MANICULE_STORE=postgresql://... manicule migrate`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.migrations import run_migrate

    raise typer.Exit(run_migrate(settings, as_json=json))


def backup(
    target: Annotated[Path, typer.Argument(help="New file.", metavar="FILE")],
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Copy the SQLite store to a new file while the server goes on.

    The copy is one moment of the store: all that was acknowledged before it began, whole, checked
    and on disk when the command ends. To restore, stop the server and put it in the store's place.

    Exit codes: 0 copied, 1 the file is there already or cannot be written, 2 usage, 3 the store
    cannot be reached.

    Example: `manicule backup backups/2026-11-21.db`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.backup import run_backup

    raise typer.Exit(run_backup(settings, target, as_json=json))


def stats(
    context: typer.Context,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Group by up to three of: product_id, model, prompt_version, scenario, arm, "
            "item_type, action, confidence_bin, user_id, day, week.",
            metavar="FIELD,...",
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="Print each day or week of the trend.", metavar="day|week")
    ] = None,
    since: Since = None,
    until: Until = None,
    product: Product = None,
    model: ModelName = None,
    prompt_version: PromptVersion = None,
    scenario: Scenario = None,
    arm: Arm = None,
    item_type: ItemType = None,
    user: User = None,
    min_confidence: MinConfidence = None,
    tenant: Tenant = "",
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show how answers were judged: counts, acceptance with its interval, and the trend.

    Acceptance is (accepted + modified) / decided; scores and dismissals decide nothing, and of a
    person's decisions on the same thing the last one counts. Intervals
    are 95 % (Wilson). Under 20 decided events no rate is given, but the reason. Without --since
    counts are of all time and the trend of the last 30 days.

    Exit codes: 0 shown, 1 failed, 2 usage, 3 the store cannot be reached.

    Examples:

    - `manicule stats --by product_id --since 7d`
    - `manicule stats --by model,prompt_version --every week --since 2026-10-01`
    - `manicule stats --json | jq .acceptance.overall.acceptance_rate`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.filters import FilterError, read_every, read_filter, read_groups
    from server.cli.stats import Query, run_stats

    try:
        where = read_filter(context.params, now_ms())
        query = Query(where, read_groups(by or []), read_every(every), json)
    except FilterError as error:
        fail((str(error),), USAGE)
    raise typer.Exit(run_stats(settings, query))


def export(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.", metavar="FOLDER")],
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            "--format",
            "-f",
            help="openai-chat, openai-preference, gemini, gemini-preference, trl, csv, parquet.",
        ),
    ] = "openai-chat",
    split: Annotated[str, typer.Option(help="none, 80/20 or 80/10/10.")] = "none",
    after: Annotated[
        str, typer.Option(help="Go on after this event id, from an earlier manifest.", metavar="ID")
    ] = "",
    golden: Annotated[
        Path | None,
        typer.Option(help="JSON lines whose `question`s must not be trained on.", metavar="FILE"),
    ] = None,
    system: Annotated[
        str, typer.Option(help="System text of each example; {product_id} is filled in.")
    ] = "",
    seed: Annotated[str, typer.Option(help="Word that decides the split.")] = "manicule",
    since: Since = None,
    until: Until = None,
    product: Product = None,
    model: ModelName = None,
    prompt_version: PromptVersion = None,
    scenario: Scenario = None,
    arm: Arm = None,
    item_type: ItemType = None,
    user: User = None,
    min_confidence: MinConfidence = None,
    tenant: Tenant = "",
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Write judgements as training data: validated lines, a split, a manifest.

    The folder appears when it is whole; an interrupted export leaves nothing. All examples of one
    question go to the same part. Each line left out is counted with its reason.

    Exit codes: 0 written, 1 nothing could be exported or the folder cannot be written, 2 usage,
    3 the store cannot be reached, 130 interrupted.

    Examples:

    - `manicule export --output sets/november --split 80/10/10 --min-confidence 0.7`
    - `manicule export -f openai-preference -o pairs --golden golden.jsonl`
    - `manicule export -f csv -o table --since 30d --product od-12`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.exporting import Order, run_export
    from server.cli.filters import FilterError, read_filter

    try:
        where = read_filter(context.params, now_ms())
    except FilterError as error:
        fail((str(error),), USAGE)
    order = Order(where, format, output, split, after, system, seed, golden, json)
    raise typer.Exit(run_export(settings, order))


def erase(
    user: Annotated[str, typer.Option(help="Whose data.", metavar="ID")],
    tenant: Tenant = "",
    dataset: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an export that gets a note; repeatable.", metavar="FOLDER"),
    ] = None,
    yes: Yes = False,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Erase what is kept about one person: judgements, questions and answers, dead letters.

    The journal (when MANICULE_LOG_URL is set) is emptied first, archives are written anew. Daily
    counts stay: they name nobody. It cannot be undone.

    Exit codes: 0 erased, 1 nothing is kept, not all was erased, or the answer was no, 2 usage,
    3 the store cannot be reached.

    Example: `manicule erase --user u-4711`
    """
    settings = store_settings(store, data_dir, env_file)
    if not user.strip():
        fail(("--user: is empty. Give the id of one person.",), USAGE)
    from server.cli.erasing import run_erase

    raise typer.Exit(run_erase(settings, user, tenant, dataset or (), yes=yes, as_json=json))


def expire(
    yes: Yes = False,
    archive: Annotated[
        bool, typer.Option("--archive/--no-archive", help="Keep months in data/archive.")
    ] = True,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Remove what is older than MANICULE_FEEDBACK_RETENTION_DAYS; whole months are archived first.

    Judgements leave by months, questions and answers by the day. Counts stay. Run it once a day, on
    one machine.

    Exit codes: 0 done, 1 it failed or the answer was no, 2 usage, 3 the store cannot be reached.

    Example: `manicule expire --yes`
    """
    from server.cli.expiring import run_expire

    settings = store_settings(store, data_dir, env_file)
    raise typer.Exit(run_expire(settings, archive=archive, yes=yes, as_json=json))
