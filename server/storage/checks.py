"""What `manicule check` and `/ready` say about the services that were named by URL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from server.storage.faults import StorageError
from server.storage.redis_opening import open_redis

CHECK_S = 3.0
"""Longest wait for one service; a check runs while somebody watches."""

OLDEST_REDIS = (6, 0)
"""RESP3 and client tracking came with 6.0."""

OLDEST_POSTGRES = 150_000

REMEDIES = {
    "unreachable": "Is it running, and is the address right? Try: redis-cli -u URL ping",
    "timeout": "It accepts no command in time: look at its load and at the network between.",
    "loading": "It is still reading its data: wait, then check again.",
    "refused": "Put a user and password into the URL; the user needs +info and the key commands.",
    "moved": "This is a cluster: write the URL as redis+cluster://HOST:PORT.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a service: whether it is as it should be, and if not, what to do."""

    ok: bool
    what: str
    remedy: str = ""


Info = dict[str, str]


async def check_cache(url: str) -> list[Finding]:
    """Whether the Redis at `url` can serve as cache: it answers, is recent, and may evict."""
    infos, findings = await _redis_infos(url)
    return findings + _of_all(infos, _cache_findings)


def _cache_findings(info: Info) -> list[Finding]:
    policy = info.get("maxmemory_policy", "")
    if policy == "noeviction" and info.get("maxmemory", "0") != "0":
        what = "full memory makes it refuse writes (maxmemory-policy noeviction)"
        remedy = "Set maxmemory-policy to allkeys-lru: everything in it can be fetched again."
        return [Finding(False, what, remedy)]
    return [Finding(True, f"maxmemory-policy {policy or 'unknown'}")]


async def check_log(url: str) -> list[Finding]:
    """Whether the Redis at `url` may hold what was acknowledged: it neither evicts nor forgets.

    Of a cluster every primary is asked.
    """
    infos, findings = await _redis_infos(url)
    return findings + _of_all(infos, _log_findings)


def _log_findings(info: Info) -> list[Finding]:
    policy = info.get("maxmemory_policy", "unknown")
    remedy = "" if policy == "noeviction" else "Set maxmemory-policy to noeviction."
    findings = [Finding(policy == "noeviction", f"maxmemory-policy {policy}", remedy)]
    appends = info.get("aof_enabled") == "1"
    findings.append(
        Finding(
            appends,
            "append-only file on" if appends else "append-only file off",
            "" if appends else "Set appendonly to yes, or a restart loses acknowledged feedback.",
        )
    )
    if appends and info.get("aof_last_write_status", "ok") != "ok":
        findings.append(
            Finding(False, "the last write to the append-only file failed", "Is its disk full?")
        )
    if info.get("role", "master") != "master":
        findings.append(Finding(False, "it is a replica", "Give the address of the primary."))
    return findings


def _of_all(infos: dict[str, Info], judge: Callable[[Info], list[Finding]]) -> list[Finding]:
    """Return what is found of each server: once where all are alike, else with its address."""
    found = {name: judge(info) for name, info in infos.items()}
    shown: dict[Finding, None] = {}  # in order, each once
    for name, ones in found.items():
        for one in ones:
            alike = all(one in others for others in found.values())
            shown[one if alike else replace(one, what=f"{one.what} ({name})")] = None
    return list(shown)


async def check_store(url: str) -> list[Finding]:
    """Whether the store of record at `url` (sqlite or postgresql) can be used."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return await asyncio.to_thread(_check_sqlite, url)
    if scheme in ("postgresql", "postgres"):
        return await _check_postgres(url)
    return [
        Finding(
            False,
            f"no store is called {scheme or 'that'}",
            "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
        )
    ]


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///relative` or `sqlite:////absolute`."""
    return Path(unquote(url.removeprefix("sqlite:///")))


async def _redis_infos(url: str) -> tuple[dict[str, Info], list[Finding]]:
    """Return what the server, or each primary of a cluster, says of itself, and first findings."""
    try:
        client = open_redis(url, timeout_s=CHECK_S)
    except ValueError as error:
        return {}, [Finding(False, str(error), "Write redis://HOST:PORT/0.")]
    try:
        await client.call("EXISTS", "doc_text:")
        infos = {name: _parsed(reply) for name, reply in (await client.all_facts()).items()}
    except StorageError as fault:
        remedy = REMEDIES.get(fault.kind, "Look into its log.")
        return {}, [Finding(False, f"{fault.kind}: {fault.detail}", remedy)]
    finally:
        await client.aclose()

    def judge(info: Info) -> list[Finding]:
        version = info.get("redis_version", "0")
        parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        recent = parts >= OLDEST_REDIS
        remedy = "" if recent else "Use Redis 6.0 or later, or Valkey."
        findings = [Finding(True, "answers"), Finding(recent, f"version {version}", remedy)]
        if info.get("cluster_enabled") == "1" and not client.cluster:
            findings.append(Finding(False, "it is one node of a cluster", REMEDIES["moved"]))
        return findings

    return infos, _of_all(infos, judge)


def _parsed(reply: object) -> Info:
    if isinstance(reply, dict):  # redis-py reads INFO itself
        return {str(name): str(value) for name, value in reply.items()}
    return {}


def _check_sqlite(url: str) -> list[Finding]:
    path = sqlite_path(url)
    existed = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=CHECK_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        return [Finding(False, f"{path}: {error}", "Give a file in a folder that can be written.")]
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE manicule_check (one INTEGER)")
        connection.execute("ROLLBACK")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        remedy = "The file must be a SQLite database that this user may write."
        return [Finding(False, f"{path}: {error}", remedy)]
    finally:
        connection.close()
        if not existed:
            path.unlink(missing_ok=True)
    return [
        Finding(True, f"{path} can be written"),
        Finding(
            mode == "wal",
            f"journal mode {mode}",
            "" if mode == "wal" else "Keep the file on a local disk, not on a network share.",
        ),
        Finding(
            verdict == "ok",
            f"integrity: {verdict}",
            "" if verdict == "ok" else "Restore it from a copy; `sqlite3 FILE .recover` may help.",
        ),
    ]


async def _check_postgres(url: str) -> list[Finding]:
    import asyncpg  # type: ignore[import-untyped]  # not where the store is SQLite

    try:
        connection = await asyncpg.connect(url, timeout=CHECK_S)
    except ValueError:
        return [
            Finding(False, "the URL cannot be read", "Write postgresql://USER:PASSWORD@HOST/NAME.")
        ]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        remedy = "Is it running, and are user, password and database right? Try: psql URL"
        return [Finding(False, f"{type(e).__name__}: {e}"[:200], remedy)]
    try:
        number = int(await connection.fetchval("SHOW server_version_num", timeout=CHECK_S))
        replica = await connection.fetchval("SELECT pg_is_in_recovery()", timeout=CHECK_S)
    finally:
        await connection.close(timeout=CHECK_S)
    recent = number >= OLDEST_POSTGRES
    return [
        Finding(True, "answers"),
        Finding(recent, f"version {number // 10_000}", "" if recent else "Use PostgreSQL 15+."),
        Finding(
            not replica,
            "a replica that cannot be written" if replica else "can be written",
            "Give the address of the primary." if replica else "",
        ),
    ]
