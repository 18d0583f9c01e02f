"""Settings from the command line, the environment and a `.env` file, in this order of rank.

Everything wrong is reported at once, a line each, with what to do; a secret is never in a message.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from dotenv.parser import parse_stream

from server.config.checks import check_settings
from server.config.convert import convert
from server.config.settings import Settings

PREFIX: Final = "MANICULE_"
IGNORED_PREFIX: Final = "MANICULE_TEST_"
FILE_SUFFIX: Final = "_FILE"
"""`MANICULE_<SECRET>_FILE` names a file that holds the secret, as container platforms mount it."""
MAX_FILE_BYTES: Final = 2**20
"""A `.env` or secret file over this is something else, given by mistake. It is refused."""

_SERVICE_LINK: Final = re.compile(r"(.+_)?(SERVICE_(HOST|PORT)(_.+)?|PORT_\d+_(TCP|UDP)(_.+)?)")
"""What Kubernetes puts into containers for services whose names begin with "manicule"."""


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds one line each, with the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was given: `source` names it in messages, `rank` 0 is the strongest."""

    value: object
    source: str
    rank: int


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def option(name: str) -> str:
    """Return the command line option of a setting."""
    return "--" + name.replace("_", "-")


def read_settings(
    cli: Mapping[str, object], env: Mapping[str, str], env_file: Path | None = None
) -> Settings:
    """Return the settings; `cli` (by field name) wins over `env`, `env` over the `.env` file.

    `None` in `cli` and an empty variable count as not given. Raises `SettingsError` with every
    problem found.
    """
    problems: list[str] = []
    given: dict[str, _Given] = {}
    if env_file is not None:
        lines = _read_env_file(env_file, problems)
        _take_variables(lines, f" in {env_file}", 2, given, problems)
    _take_variables(env, "", 1, given, problems)
    for name, value in cli.items():
        if value is not None:
            given[name] = _Given(value, option(name), 0)
    _choose_one(given, problems)
    values = _convert_all(given, problems)
    sources = {name: each.source for name, each in given.items()}
    if not problems:
        settings = Settings(**values)
        problems += check_settings(settings, lambda name: sources.get(name, variable(name)))
        if not problems:
            return settings
    raise SettingsError(problems)


def _read_env_file(path: Path, problems: list[str]) -> dict[str, str]:
    """The variables of a `.env` file, without touching the environment of this process."""
    found: dict[str, str] = {}
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            problems.append(f"{path}: over {MAX_FILE_BYTES} bytes. Give a .env file.")
            return {}
        with path.open(encoding="utf-8-sig") as lines:
            for binding in parse_stream(lines):
                if binding.error:
                    problems.append(
                        f"{path}, line {binding.original.line}: not NAME=value. Correct the line."
                    )
                elif binding.key is not None and binding.value is not None:
                    found[binding.key] = binding.value
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}). Check path and permissions.")
    except UnicodeDecodeError:
        problems.append(f"{path}: not UTF-8 text. Save it as UTF-8.")
    return found


def _take_variables(
    env: Mapping[str, str], where: str, rank: int, given: dict[str, _Given], problems: list[str]
) -> None:
    rows = {variable(row.name): row for row in fields(Settings)}
    secret_files = {n + FILE_SUFFIX: r for n, r in rows.items() if r.metadata["secret"]}
    for name, value in env.items():
        if not name.startswith(PREFIX) or name.startswith(IGNORED_PREFIX) or not value:
            continue
        if _is_service_link(name, value):
            continue
        if row := rows.get(name):
            given[row.name] = _Given(value, name + where, rank)
        elif row := secret_files.get(name):
            if env.get(variable(row.name)):
                problems.append(f"{name}{where}: {variable(row.name)} is set too. Keep one.")
            given[row.name] = _Given(
                _read_secret(name + where, value, problems), name + where, rank
            )
        else:
            near = difflib.get_close_matches(name, [*rows, *secret_files], 1, 0.8)
            remedy = f"Did you mean {near[0]}?" if near else "See docs/configuration.md."
            problems.append(f"{name}{where}: no such setting. {remedy}")


def _is_service_link(name: str, value: str) -> bool:
    address = name.endswith("_PORT") and value.startswith(("tcp://", "udp://"))
    return address or bool(_SERVICE_LINK.fullmatch(name.removeprefix(PREFIX)))


def _read_secret(source: str, path: str, problems: list[str]) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            secret = file.read(MAX_FILE_BYTES).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        problems.append(f"{source}: {path} cannot be read ({reason}). Check path and permissions.")
        return ""
    if not secret:
        problems.append(f"{source}: {path} is empty. Write the secret into it.")
    return secret


def _choose_one(given: dict[str, _Given], problems: list[str]) -> None:
    """Of `catalog` and `manuals` the stronger source wins; both from one source is a mistake."""
    catalog, manuals = given.get("catalog"), given.get("manuals")
    if catalog and manuals:
        if catalog.rank == manuals.rank:
            problems.append(f"{catalog.source} and {manuals.source}: give one of the two.")
        given.pop("catalog" if manuals.rank < catalog.rank else "manuals")


def _convert_all(given: Mapping[str, _Given], problems: list[str]) -> dict[str, Any]:
    hints = get_type_hints(Settings)
    rows: dict[str, Field[Any]] = {row.name: row for row in fields(Settings)}
    values: dict[str, Any] = {}
    for name, each in given.items():
        row = rows.get(name)
        if row is None:
            problems.append(f"{each.source}: no such setting. See docs/configuration.md.")
            continue
        try:
            values[name] = convert(each.value, hints[name], row.metadata)
        except ValueError as error:
            shown = "" if row.metadata["secret"] else f"{str(each.value)[:80]!r} "
            default = "" if row.default in (MISSING, "", None, ()) else f" Default: {row.default}."
            problems.append(f"{each.source}: {shown}{error}{default}")
    return values
