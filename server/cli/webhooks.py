"""`manicule webhooks`: what endpoints are told, listed, shown, tried again; endpoints tried out."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from server.cli.letters import time_text
from server.cli.noting import note
from server.cli.options import now_ms
from server.cli.stats import make_console, make_table
from server.cli.stores import DONE, FAILED, USAGE, complain, run_on_store
from server.cli.text import one_line
from server.config.settings import Settings
from server.plan import read_webhooks
from server.storage.outbox import Delivery, State
from server.storage.store import Store
from server.upkeep import make_sender
from server.webhooks.endpoints import Endpoint, WebhookError
from server.webhooks.notices import trial_body

STATES: Final[Mapping[str, State]] = {"waiting": "waiting", "dead": "dead"}


@dataclass(frozen=True, slots=True)
class Page:
    """Which notices to list."""

    limit: int
    after: int
    state: str | None
    endpoint: str | None


def run_list(settings: Settings, page: Page, *, as_json: bool) -> int:
    """Print a row for each notice; return the exit code."""

    async def work(store: Store) -> int:
        state = None if page.state is None else STATES[page.state]
        found = await store.outbox.deliveries(
            page.limit, page.after, state=state, endpoint=page.endpoint
        )
        if as_json:
            for one in found:
                _print_json(one)
            return DONE
        if not found:
            sys.stdout.write("Nothing waits and nothing was given up.\n")
            return DONE
        table = make_table()
        table.add_column("number", justify="right", no_wrap=True)
        for name in ("made (UTC)", "endpoint", "event", "state"):
            table.add_column(name, no_wrap=True)
        table.add_column("attempts", justify="right", no_wrap=True)
        table.add_column("last failure")
        for one in found:
            words = (time_text(one.created_at), one_line(one.endpoint), one.event, one.state)
            error = Text(one_line(one.error))
            table.add_row(str(one.number), *words, str(one.attempts), error)
        make_console().print(table)
        if len(found) == page.limit:
            sys.stdout.write(f"There may be more: add --after {found[-1].number}\n")
        return DONE

    return run_on_store(settings, work)


def run_show(settings: Settings, number: int, *, as_json: bool) -> int:
    """Print one notice in full; return the exit code."""

    async def work(store: Store) -> int:
        found = await store.outbox.deliveries(1, number - 1)
        if not found or found[0].number != number:
            return complain(f"There is no notice {number}; perhaps it was delivered.", FAILED)
        [one] = found
        if as_json:
            _print_json(one)
            return DONE
        facts = (
            ("number", str(number)),
            ("id", one.message_id),
            ("endpoint", one_line(one.endpoint)),
            ("event", one.event),
            ("made", f"{time_text(one.created_at)} UTC"),
            ("state", one.state),
            ("attempts", str(one.attempts)),
            ("next", f"{time_text(one.next_at)} UTC" if one.state == "waiting" else "never"),
            ("failure", one_line(one.error)),
        )
        for name, value in facts:
            sys.stdout.write(f"{name:<10}{value}\n")
        sys.stdout.write(f"\n{json.dumps(json.loads(one.body), indent=2)}\n")
        return DONE

    return run_on_store(settings, work)


def run_replay(settings: Settings, numbers: Sequence[int] | None) -> int:
    """Make dead notices due, None meaning all; return the exit code."""

    async def work(store: Store) -> int:
        await note(settings, "webhooks.replay", {"notices": len(numbers) if numbers else "all"})
        revived = await store.outbox.revive(numbers, now=now_ms())
        sys.stdout.write(f"{revived} due now; a running server sends them.\n")
        return FAILED if numbers is not None and revived < len(set(numbers)) else DONE

    return run_on_store(settings, work)


def run_test(settings: Settings, name: str | None) -> int:
    """Send a trial to one endpoint, or all; return the exit code."""
    try:
        endpoints = read_webhooks(settings)
    except WebhookError as error:
        for problem in error.problems:
            complain(problem, USAGE)
        return USAGE
    except OSError as error:
        return complain(f"{error.filename}: {error.strerror}. Check MANICULE_WEBHOOKS.", USAGE)
    chosen = [one for one in endpoints if name in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in endpoints) or "none; set MANICULE_WEBHOOKS to a file"
        return complain(f"There is no such endpoint. Known: {known}.", USAGE)
    return asyncio.run(_try_out(settings, chosen))


async def _try_out(settings: Settings, endpoints: Sequence[Endpoint]) -> int:
    code = DONE
    sender = make_sender(settings)
    try:
        for endpoint in endpoints:
            message_id = f"msg_{secrets.token_hex(16)}"
            reply = await sender.send(endpoint, message_id, trial_body(now_ms()), now_s=time.time())
            mark = "ok" if reply.taken else "failed"
            sys.stdout.write(f"{mark:<8}{endpoint.name}  {reply}\n")
            code = code if reply.taken else FAILED
    finally:
        await sender.aclose()
    return code


def _print_json(one: Delivery) -> None:
    facts = {
        "number": one.number,
        "message_id": one.message_id,
        "endpoint": one.endpoint,
        "event": one.event,
        "tenant": one.tenant,
        "created_at": one.created_at,
        "attempts": one.attempts,
        "next_at": one.next_at if one.state == "waiting" else None,
        "state": one.state,
        "error": one.error,
        "body": json.loads(one.body),
    }
    sys.stdout.write(json.dumps(facts) + "\n")
