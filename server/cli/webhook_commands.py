"""`manicule webhooks ...`: what can be said about deliveries. What is done is in `webhooks`."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.options import USAGE, DataDir, EnvFile, Json, Store, fail, store_settings

MAX_NUMBER = 2**63 - 1

webhooks_app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Webhooks: what endpoints (MANICULE_WEBHOOKS) are told, and what they did not take.\n\n"
        "- `manicule webhooks test` (send each endpoint something harmless)\n"
        "- `manicule webhooks list --state dead`, then `manicule webhooks show 7`\n"
        "- `manicule webhooks replay --all` (when the endpoint is mended)"
    ),
)

EndpointName = Annotated[
    str | None, typer.Option("--endpoint", help="Of this endpoint only.", metavar="NAME")
]


@webhooks_app.command("list")
def webhooks_list(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most notices shown.")] = 50,
    after: Annotated[int, typer.Option(min=0, max=MAX_NUMBER, help="Numbers over this one.")] = 0,
    state: Annotated[
        str | None, typer.Option(help="waiting or dead; both otherwise.", metavar="STATE")
    ] = None,
    endpoint: EndpointName = None,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List what was not delivered: waiting to be tried (again), or given up.

    Exit codes: 0 listed (also when there is none), 2 usage, 3 the store cannot be reached.

    Example: `manicule webhooks list --state dead --endpoint quality`
    """
    if state not in (None, "waiting", "dead"):
        fail((f"--state: {state} is no state. Use waiting or dead.",), USAGE)
    settings = store_settings(store, data_dir, env_file)
    from server.cli.webhooks import Page, run_list

    raise typer.Exit(run_list(settings, Page(limit, after, state, endpoint), as_json=json))


@webhooks_app.command("show")
def webhooks_show(
    number: Annotated[int, typer.Argument(min=1, max=MAX_NUMBER, help="As webhooks list shows.")],
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show one notice: what is sent, how often it was tried, why it failed.

    Exit codes: 0 shown, 1 not there (delivered, perhaps), 2 usage, 3 the store cannot be reached.

    Example: `manicule webhooks show 7`
    """
    settings = store_settings(store, data_dir, env_file)
    from server.cli.webhooks import run_show

    raise typer.Exit(run_show(settings, number, as_json=json))


@webhooks_app.command("replay")
def webhooks_replay(
    numbers: Annotated[
        list[int] | None,
        typer.Argument(min=1, max=MAX_NUMBER, help="As webhooks list shows."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    store: Store = None,
    data_dir: DataDir = None,
    env_file: EnvFile = None,
) -> None:
    """Have notices that were given up tried again by a running server, under their old ids.

    Exit codes: 0 done, 1 some are not there or were not given up, 2 usage, 3 the store cannot be
    reached.

    Examples:

    - `manicule webhooks replay 7 8`
    - `manicule webhooks replay --all`
    """
    settings = store_settings(store, data_dir, env_file)
    if bool(numbers) == every:
        fail(("Name the numbers of notices, or say --all.",), USAGE)
    from server.cli.webhooks import run_replay

    raise typer.Exit(run_replay(settings, numbers or None))


@webhooks_app.command("test")
def webhooks_test(
    endpoint: Annotated[
        str | None, typer.Argument(help="Name in the file; all without.", metavar="NAME")
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Send each endpoint a signed `webhook.test` now, and say what it answered.

    Exit codes: 0 all took it, 1 one did not, 2 usage or a mistake in the file.

    Example: `manicule webhooks test quality`
    """
    settings = store_settings(None, None, env_file)
    from server.cli.webhooks import run_test

    raise typer.Exit(run_test(settings, endpoint))
