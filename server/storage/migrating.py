"""Numbered migrations: which files there are, and which of them a database still needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files


class MigrationError(Exception):
    """The database and this program do not fit; the message says which of them to change."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `number` orders it, `name` is its file name, `sha256` (hex) is of its text."""

    number: int
    name: str
    text: str
    sha256: str


def read_migrations(store: str) -> list[Migration]:
    """Return the migrations of `sqlite` or `postgres`, numbered from 1 without gaps."""
    folder = files("server.storage") / "migrations" / store
    named = sorted((one.name, one.read_bytes()) for one in folder.iterdir())
    found = [
        Migration(
            number=int(name.split("_")[0]),
            name=name,
            text=data.decode(),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        for name, data in named
        if name.endswith(".sql")
    ]
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"the migrations of {store} are not numbered 1, 2, 3, ...")
    return found


def pending(known: Sequence[Migration], applied: Mapping[int, tuple[str, str]]) -> list[Migration]:
    """Return what is still to apply, in order.

    `applied` has name and hash by number, as the database recorded them. Raises `MigrationError`
    when one of them is not as this program knows it, or is one that it does not know.
    """
    by_number = {one.number: one for one in known}
    for number, (name, sha256) in sorted(applied.items()):
        ours = by_number.get(number)
        if ours is None:
            raise MigrationError(
                f"the database is newer than this program: it has migration {name}, and the newest"
                f" here is {known[-1].name}. Run a newer version of manicule."
            )
        if ours.sha256 != sha256:
            raise MigrationError(
                f"migration {name} was applied with another text than {ours.name} has here."
                " Run the version of manicule that made the database, or restore the file."
            )
    return [one for one in known if one.number not in applied]


async def migrate(url: str) -> list[str]:
    """Apply what the store at `url` still needs; return the names of the files applied.

    Raises `ValueError` for a URL of no store, `MigrationError`, and `StoreUnavailableError`.
    """
    from server.storage.opening import postgres_url, sqlite_path

    path = sqlite_path(url)
    if path is not None:
        from server.storage.sqlite_migrating import migrate_file

        return await migrate_file(path)
    from server.storage.postgres_migrating import migrate_database

    return await migrate_database(postgres_url(url))
