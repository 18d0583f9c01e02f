"""docs/configuration.md, made from the settings table: `python -m server.config.document`."""

from __future__ import annotations

import sys
from dataclasses import Field, fields
from typing import Any, Final

from server.config.read import FILE_SUFFIX, option, variable
from server.config.settings import Settings

OPTIONS: Final = (
    "host", "port", "catalog", "manuals", "model", "store", "cache_url", "log_url", "data_dir",
    "prompts_dir", "workers", "insecure",
)  # fmt: skip
"""Settings that are options of `manicule serve` too."""

_HEAD: Final = f"""\
# Configuration

Made from the settings table by `python -m server.config.document`; a test holds the two together.

Every setting is a variable. Those that people change at the keyboard are options of
`manicule serve` too. A value is taken from the first of these that has it:

1. the command line (`--port 9000`),
2. the environment (`MANICULE_PORT=9000`),
3. a `.env` file in the current folder, or the one that `--env-file` names,
4. the default.

* An empty variable counts as not given.
* An unknown `MANICULE_` name is an error that suggests the near one, in the environment and in the
  file. Names that begin with `MANICULE_TEST_` are left alone, and so are the names that Kubernetes
  adds for services called `manicule...` (`MANICULE_PORT=tcp://...`).
* `yes`, `true`, `on`, `1` and `no`, `false`, `off`, `0` are the words for true and false; lists are
  parted by commas.
* A setting marked secret can be read from a file: `MANICULE_SECRET_KEY{FILE_SUFFIX}=/run/key`.
  Secrets are never printed: of an address only scheme, host and path are shown, of a key nothing.
  Give secrets as variables or files, not as options, which other users of the machine can see.
* Of `MANICULE_CATALOG` and `MANICULE_MANUALS` the one from the stronger source counts; both from
  the same source is an error. With neither, the demo catalog is served.

## At the start

Everything that is wrong with the settings is told at once, a line each on standard error, and the
exit code is 2: a value of the wrong kind or out of range, an unknown name, a URL that is none, a
model without its key, an address that other machines can reach without `--insecure`, a catalog or
prompt that cannot be used. An address that is taken ends the start with exit code 1.

A Redis that cannot be reached or is unfit is a warning (`service_unfit`) and not an error, since
answers work without it: the cache is then kept in the process, and `/ready` says so. A URL that
cannot be one is an error. `manicule check` looks at all of it without starting a server; there a
service that cannot be reached counts as failed (exit code 1).

## Settings

| Variable | Default | Values | What it is |
|---|---|---|---|
"""


def build_document() -> str:
    """Return the page."""
    return _HEAD + "".join(f"{_row(row)}\n" for row in fields(Settings))


def _row(row: Field[Any]) -> str:
    name = f"`{variable(row.name)}`"
    if row.name in OPTIONS:
        name += f"<br>`{option(row.name)}`"
    text = str(row.metadata["help"])
    if row.metadata["secret"]:
        text += " Secret."
    return f"| {name} | {_default(row)} | {_values(row)} | {text} |"


def _default(row: Field[Any]) -> str:
    if row.default in ("", None, ()):
        return ""
    if isinstance(row.default, bool):
        return f"`{str(row.default).lower()}`"
    return f"`{row.default}`"


def _values(row: Field[Any]) -> str:
    if row.metadata["choices"]:
        return ", ".join(f"`{choice}`" for choice in row.metadata["choices"])
    if isinstance(row.default, bool):
        return "`true`, `false`"
    low, high = row.metadata["limits"]
    if low is None and high is None:
        return str(row.metadata["unit"])
    limits = f"{low or 0:,} to {high:,}" if high is not None else f"{low:,} or more"
    return f"{limits} {row.metadata['unit']}".strip()


if __name__ == "__main__":
    sys.stdout.write(build_document())
