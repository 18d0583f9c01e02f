"""Options that several commands share, and the settings that they give."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from server.config.read import SettingsError, read_settings
from server.config.settings import Settings

USAGE = 2
DEFAULT_URL = "ws://127.0.0.1:8080/ws"

Url = Annotated[str, typer.Option(help="The server's socket.", metavar="URL")]
EnvFile = Annotated[
    Path | None,
    typer.Option(help="File of variables. Default: .env in this folder, if there.", metavar="FILE"),
]
Host = Annotated[str | None, typer.Option(help="Address. Default: 127.0.0.1.", metavar="HOST")]
Port = Annotated[
    str | None, typer.Option(help="Port; 0 picks a free one. Default: 8080.", metavar="PORT")
]
Workers = Annotated[str | None, typer.Option(help="Processes that share the port.", metavar="N")]
Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Listen on other addresses than this machine's without keys."),
]
Manuals = Annotated[
    str | None, typer.Option(help="Folder of PDF, HTML, Markdown or text files.", metavar="FOLDER")
]
CatalogFile = Annotated[
    str | None, typer.Option(help="Catalog file, TOML or JSON.", metavar="FILE")
]
ModelChain = Annotated[
    str | None,
    typer.Option(
        help="Models, tried in order: gemini:NAME, openai:NAME, gemini-sdk:NAME, extractive, "
        "scripted:FILE.",
        metavar="CHAIN",
    ),
]
CacheUrl = Annotated[
    str | None, typer.Option(help="Redis for manual texts and answers.", metavar="URL")
]
LogUrl = Annotated[
    str | None, typer.Option(help="Redis for answer logs and feedback.", metavar="URL")
]
Store = Annotated[
    str | None, typer.Option(help="SQLite or PostgreSQL: the store of record.", metavar="URL")
]
DataDir = Annotated[
    str | None, typer.Option(help="Everything kept on disk. Default: data.", metavar="FOLDER")
]
PromptsDir = Annotated[
    str | None, typer.Option(help="Prompts that add to the built-in ones.", metavar="FOLDER")
]


KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with an API key or token, for a server that wants one.", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Tenant = Annotated[str, typer.Option(help="Tenant, where API keys name one.", metavar="T")]


def store_settings(store: str | None, data_dir: str | None, env_file: Path | None) -> Settings:
    """Read the settings of a command that needs the store alone."""
    return read_options({"store": store, "data_dir": data_dir, "env_file": env_file})


def read_options(words: Mapping[str, Any]) -> Settings:
    """Read the settings; `words` are a command's options, of which all but one are settings."""
    given = {name: value for name, value in words.items() if name != "env_file"}
    named = words["env_file"]  # a word or a path, as the library has it
    env_file = Path(".env") if named is None else Path(named)
    is_there = named is not None or env_file.is_file()
    try:
        return read_settings(given, os.environ, env_file if is_there else None)
    except SettingsError as error:
        fail(error.problems, USAGE)


def now_ms() -> int:
    """Return the time, in Unix milliseconds."""
    return int(time.time() * 1000)


def read_key(file: Path | None) -> str | None:
    """Return the key in the file; ends the command when it cannot be read."""
    if file is None:
        return None
    try:
        key = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        fail((f"--key-file: {file} cannot be read ({reason}).",), USAGE)
    if not key or "\n" in key:
        fail((f"--key-file: {file} must hold one line, the key.",), USAGE)
    return key.rpartition(":")[2]


def fail(problems: tuple[str, ...], code: int) -> NoReturn:
    """End the command: a line for each problem, and the exit code."""
    from server.cli.text import one_line

    for problem in problems:
        sys.stderr.write(f"{one_line(problem)}\n")
    raise typer.Exit(code)
