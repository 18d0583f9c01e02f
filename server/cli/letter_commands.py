"""`manicule dlq ...`: what can be said about dead letters. What is done is in `letters`."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.options import (
    USAGE,
    DataDir,
    EnvFile,
    Json,
    Store,
    Yes,
    fail,
    now_ms,
    store_settings,
)

MAX_ID = 2**63 - 1

dlq_app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Dead letters: feedback that the store refused, kept byte for byte with the reason.\n\n"
        "- `manicule dlq list`, then `manicule dlq show 7`\n"
        "- `manicule dlq replay --all` (when the reason is mended)\n"
        "- `manicule dlq purge --before 2026-10-01`"
    ),
)

LetterIds = Annotated[
    list[int] | None, typer.Argument(min=1, max=MAX_ID, help="Ids, as dlq list shows.")
]


@dlq_app.command("list")
def dlq_list(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most letters shown.")] = 50,
    after: Annotated[int, typer.Option(min=0, max=MAX_ID, help="Ids over this one.")] = 0,
    tenant: Annotated[
        str | None, typer.Option(help="Of this tenant only; '' is that of no tenant.", metavar="T")
    ] = None,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List dead letters, oldest first; with --json a line each, the original in base64.

    What cannot be read is of no tenant that anybody knows.

    Exit codes: 0 listed (also when there is none), 2 usage, 3 the store cannot be reached.

    Example: `manicule dlq list --limit 20`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.letters import run_list

    raise typer.Exit(run_list(settings, limit=limit, after=after, tenant=tenant, as_json=json))


@dlq_app.command("show")
def dlq_show(
    letter: Annotated[
        int, typer.Argument(min=1, max=MAX_ID, help="Id, as dlq list shows.", metavar="ID")
    ],
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show one dead letter: why it was refused, and what was sent.

    Exit codes: 0 shown, 1 not there, 2 usage, 3 the store cannot be reached.

    Example: `manicule dlq show 7`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.letters import run_show

    raise typer.Exit(run_show(settings, letter, as_json=json))


@dlq_app.command("replay")
def dlq_replay(
    ids: LetterIds = None,
    every: Annotated[bool, typer.Option("--all", help="All that are there now.")] = False,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Send dead letters to the store again; those that it takes leave the list.

    It may be repeated: ids make sure that nothing is stored twice.

    Exit codes: 0 all were stored, 1 some were refused again or are not there, 2 usage, 3 the store
    cannot be reached.

    Examples:

    - `manicule dlq replay 7 8`
    - `manicule dlq replay --all`
    """
    settings = store_settings(store, data_dir, env_file)
    if bool(ids) == every:
        fail(("Name the ids of dead letters, or say --all.",), USAGE)
    from server.cli.letters import run_replay

    raise typer.Exit(run_replay(settings, ids or None, as_json=json))


@dlq_app.command("purge")
def dlq_purge(
    ids: LetterIds = None,
    before: Annotated[
        str | None,
        typer.Option(help="All received before this date or time, or so long ago: 90d."),
    ] = None,
    yes: Yes = False,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
) -> None:
    """Remove dead letters for good, after asking.

    Exit codes: 0 removed, 1 the answer was no or some are not there, 2 usage, 3 the store cannot be
    reached.

    Examples:

    - `manicule dlq purge 7`
    - `manicule dlq purge --before 90d --yes`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.filters import FilterError, read_time
    from server.cli.letters import run_purge

    try:
        before_ms = read_time("--before", before, now_ms())
    except FilterError as error:
        fail((str(error),), USAGE)
    if bool(ids) == (before_ms is not None):
        fail(("Name the ids of dead letters, or say --before.",), USAGE)
    raise typer.Exit(run_purge(settings, ids or None, before_ms, yes=yes))
