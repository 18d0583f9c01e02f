"""The command line: what can be said, with help that teaches. What it does is next door."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from server.cli import key_commands, store_commands
from server.cli.auditing import audit_app
from server.cli.bench_commands import bench_app
from server.cli.letter_commands import dlq_app
from server.cli.options import (
    DEFAULT_URL,
    CacheUrl,
    CatalogFile,
    DataDir,
    EnvFile,
    Host,
    Insecure,
    KeyFile,
    LogUrl,
    Manuals,
    ModelChain,
    Port,
    PromptsDir,
    Store,
    Url,
    Workers,
    fail,
    read_key,
    read_options,
)
from server.cli.webhook_commands import webhooks_app

app = typer.Typer(
    name="manicule",
    help=(
        "☞ Answers questions about product manuals, with page citations it has checked.\n\n"
        "Try it:\n\n"
        "- `manicule serve` (demo manuals, no keys needed)\n"
        "- `manicule serve --manuals ~/Manuals` (your own PDFs)\n"
        "- `manicule search drum`\n"
        '- `manicule ask "How do I reset it?" --product od-12`\n\n'
        "Each command explains itself: manicule COMMAND --help"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
catalog_app = typer.Typer(no_args_is_help=True, help="Make and check catalog files.")
app.add_typer(catalog_app, name="catalog")
app.add_typer(bench_app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"manicule {installed_version('manicule')}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hold what stands before any command."""


@app.command()
def version() -> None:
    """Print the version."""
    _version(True)


@app.command()
def serve(
    context: typer.Context,
    host: Host = None,
    port: Port = None,
    catalog: CatalogFile = None,
    manuals: Manuals = None,
    model: ModelChain = None,
    store: Store = None,
    cache_url: CacheUrl = None,
    log_url: LogUrl = None,
    data_dir: DataDir = None,
    prompts_dir: PromptsDir = None,
    workers: Workers = None,
    insecure: Insecure = None,
    env_file: EnvFile = None,
) -> None:
    """Start a server: page, socket and metrics on one port.

    Every option is a variable too (MANICULE_PORT, MANICULE_MODEL, ...), and more settings are
    variables only: see docs/configuration.md. Options win over variables, variables over .env. Give
    URLs with passwords as variables: other users of a machine can see a program's options.

    With neither --catalog nor --manuals the server answers about its demo catalog. A cache that
    cannot be reached is a warning: answers work without it. A mistake in the settings ends the
    start with one line each.

    Examples:

    - `manicule serve --manuals ~/Manuals --port 9000`
    - `MANICULE_GEMINI_API_KEY=... manicule serve --model gemini:gemini-2.5-flash,extractive`
    """
    settings = read_options(context.params)
    from server.cli.shared_metrics import share_metrics

    if settings.workers > 1:
        share_metrics(settings.data_dir)
    from server.cli.launch import run_server

    raise typer.Exit(run_server(settings))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    product: Annotated[
        str, typer.Option("--product", "-p", help="Product id, or its name, nearly.", metavar="ID")
    ],
    url: Url = DEFAULT_URL,
    scenario: Annotated[
        str | None, typer.Option(help="general, studio, live, or a configured one.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the answer, such as en, fr or de-CH.")
    ] = None,
    key_file: KeyFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print each event as a line.")] = False,
) -> None:
    """Ask a running server about a product; the answer appears as it is written.

    Numbers in green brackets are citations: the pages and their own words follow below the answer.
    Ctrl-C cancels the answer, also on the server.

    Exit codes: 0 completed, 1 failed, 2 usage, 3 cannot connect, 130 cancelled.

    Examples:

    - `manicule ask "How do I do a factory reset?" --product od-12`
    - `manicule ask "How do I reset it?" -p "orrinfeld od12" --language fr`
    - `manicule ask "How loud?" -p od-12 --json | jq -r 'select(.delta) | .delta'`
    """
    from server.cli.ask import Question, run_ask

    if not question.strip():
        raise typer.BadParameter("write a question", param_hint="QUESTION")
    raise typer.Exit(
        run_ask(Question(question, product, url, scenario, language, json, read_key(key_file)))
    )


@app.command()
def search(
    query: Annotated[list[str], typer.Argument(help="Words of a product's name, nearly.")],
    url: Url = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most products shown.")] = 8,
    key_file: KeyFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print each product as a line.")] = False,
) -> None:
    """Search the products of a running server.

    Exit codes: 0 found, 1 nothing found or failed, 2 usage, 3 cannot connect.

    Example: `manicule search od 12`
    """
    from server.cli.ask import run_search

    raise typer.Exit(
        run_search(" ".join(query)[:200], url, limit, as_json=json, key=read_key(key_file))
    )


@app.command()
def check(
    context: typer.Context,
    catalog: CatalogFile = None,
    manuals: Manuals = None,
    model: ModelChain = None,
    store: Store = None,
    cache_url: CacheUrl = None,
    log_url: LogUrl = None,
    data_dir: DataDir = None,
    prompts_dir: PromptsDir = None,
    env_file: EnvFile = None,
) -> None:
    """Look at everything a server would need, without starting one.

    Settings, data folder, catalog, prompts, Redis, store and each model get a line: ok, or failed
    with what to do. Exit codes: 0 all is well, 1 something failed, 2 the settings are wrong.

    Example: `manicule check --manuals ~/Manuals --cache-url redis://127.0.0.1:6379/0`
    """
    settings = read_options(context.params)
    from server.cli.checking import run_check

    raise typer.Exit(run_check(settings))


store_commands.add_to(app)
key_commands.add_to(app)
app.add_typer(dlq_app, name="dlq")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(audit_app, name="audit")


@catalog_app.command("build")
def catalog_build(
    folder: Annotated[Path, typer.Argument(help="Folder of manuals.", metavar="FOLDER")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of the terminal.")
    ] = None,
) -> None:
    """Write a catalog file for a folder of manuals, to be completed by hand.

    Names come from the titles of the PDFs where these say something, else from the file names. Add
    brands, categories, aliases and accessories, then: manicule serve --catalog FILE

    Example: `manicule catalog build ~/Manuals --output catalog.toml`
    """
    from server.manuals.catalog import CatalogError, catalog_from_folder, dump_toml

    try:
        catalog = catalog_from_folder(folder)
        text = dump_toml(catalog, relative_to=output.absolute().parent if output else None)
    except CatalogError as error:
        fail(error.problems, 1)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail((f"{output}: is there already. Remove it or name another file.",), 1)
    except OSError as error:
        fail((f"{output}: cannot be written ({error.strerror}). Choose another place.",), 1)
    typer.echo(f"{len(catalog)} products in {output}. Next: manicule serve --catalog {output}")
