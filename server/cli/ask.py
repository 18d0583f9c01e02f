"""`manicule ask` and `manicule search`: talk to a running server over its socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

import manicule
from server.cli.answer import AnswerView, Event
from server.cli.text import one_line

COMPLETED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CANNOT_CONNECT: Final = 3
CANCELLED: Final = 130
"""What a shell reports of a program ended by Ctrl-C."""

CANCEL_WAIT_S: Final = 2.0
"""How long the terminal event is waited for after Ctrl-C; then we go without it."""

SURE_SCORE: Final = 0.85
SURE_LEAD: Final = 0.05
"""A product given loosely is taken when it scores this much and leads by this much."""


@dataclass(frozen=True, slots=True)
class Question:
    """What `manicule ask` was told."""

    text: str
    product: str
    url: str
    scenario: str | None = None
    language: str | None = None
    as_json: bool = False
    key: str | None = None


class UnclearProductError(Exception):
    """No product, or more than one, fits what was given; the message lists those that may."""


def run_ask(question: Question) -> int:
    """Ask and draw the answer; returns the exit code."""
    return _run(_ask(question))


def run_search(query: str, url: str, limit: int, *, as_json: bool, key: str | None = None) -> int:
    """Search the server's catalog and print what is found; returns the exit code."""
    return _run(_search(query, url, limit, as_json, key))


def _run(coroutine: object) -> int:
    assert asyncio.iscoroutine(coroutine)
    try:
        return int(asyncio.run(coroutine))
    except manicule.CannotConnectError as error:
        return _complain(error, CANNOT_CONNECT)
    except UnclearProductError as error:
        return _complain(error, USAGE)
    except manicule.Error as error:
        return _complain(error, FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return CANCELLED
    except (AttributeError, KeyError, TypeError, ValueError):
        # Fields of the wrong kind: not our protocol, or one that is far newer than we are.
        return _complain(ValueError("The server's events do not fit. Compare versions."), FAILED)


def _complain(error: Exception, code: int) -> int:
    lines = str(error).splitlines() or [type(error).__name__]
    for line in lines:
        sys.stderr.write(one_line(line) + "\n" if not line.startswith("  ") else f"{line}\n")
    return code


async def _ask(question: Question) -> int:
    out = Console(highlight=False, soft_wrap=True)
    async with manicule.connect(question.url, token=question.key) as client:
        product = await find_product(client, question.product)
        if not question.as_json:
            name = one_line(f"{product.get('brand', '')} {product.get('name', '')}")
            out.print(Text(f"{name} ({one_line(product['id'])})\n", style="bold"))
        view = AnswerView(out, _progress_console())
        last: Event = {}
        answer = client.ask(
            question.text,
            product_id=product["id"],
            scenario=question.scenario,
            language=question.language,
        )
        with _cancel_on_interrupt(answer):
            async for event in answer.objects():
                last = event
                if question.as_json:
                    sys.stdout.write(json.dumps(event) + "\n")
                    sys.stdout.flush()
                else:
                    view.show(event)
    codes = {"response.completed": COMPLETED, "response.cancelled": CANCELLED}
    return codes.get(last.get("type", ""), FAILED)


async def find_product(client: manicule.Client, given: str) -> Event:
    """Return the one product that `given` means: its id, its name, or nearly so.

    Raises `UnclearProductError` with those that it may mean.
    """
    found = await _find(client, given[:200], limit=6)
    for product in found:
        names = (product.get("id", ""), product.get("name", ""))
        if given.casefold() in [str(name).casefold() for name in names]:
            return product
    if not found:
        raise UnclearProductError(
            f"No product fits {given!r}. Look for it with: manicule search WORDS"
        )
    scores = [float(product.get("score", 0)) for product in found] + [0.0]
    if scores[0] >= SURE_SCORE and scores[0] - scores[1] >= SURE_LEAD:
        return found[0]
    lines = [f"{given!r} may mean several products. Give --product one of these ids:"]
    lines += [f"  {_product_line(product)}" for product in found]
    raise UnclearProductError("\n".join(lines))


async def _find(client: manicule.Client, query: str, limit: int) -> list[Event]:
    """Search; products as the server sends them, so that a newer one's additions pass through."""
    event = await client.request("catalog.search", query=query, limit=limit)
    return list(event.get("products", []))


def _product_line(product: Event) -> str:
    name = one_line(f"{product.get('brand', '')} {product.get('name', '')}")
    return f"{one_line(product.get('id', '')):<24}  {name}"


@contextlib.contextmanager
def _cancel_on_interrupt(answer: manicule.Answer) -> Iterator[None]:
    """The first Ctrl-C cancels the answer on the server, the second (or silence) ends at once."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None
    running: list[asyncio.Task[None]] = []

    def interrupt() -> None:
        if running or answer.id is None or answer.is_over:
            main.cancel()
            return
        running.append(loop.create_task(_cancel(answer), name="cancel-answer"))
        loop.call_later(CANCEL_WAIT_S, main.cancel)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _cancel(answer: manicule.Answer) -> None:
    with contextlib.suppress(manicule.ConnectionLostError):
        await answer.cancel()


def _progress_console() -> Console | None:
    console = Console(stderr=True)
    return console if console.is_terminal and not console.is_dumb_terminal else None


async def _search(query: str, url: str, limit: int, as_json: bool, key: str | None) -> int:
    async with manicule.connect(url, token=key) as client:
        found = await _find(client, query, limit)
    out = Console(highlight=False, soft_wrap=True)
    for product in found:
        if as_json:
            sys.stdout.write(json.dumps(product) + "\n")
            continue
        line = Text(_product_line(product))
        if not (product.get("manual") or {}).get("available", True):
            line.append("  no manual", style="yellow")
        out.print(line)
    if not found:
        sys.stderr.write(f"No product fits {query!r}. Try fewer letters or another word.\n")
        return FAILED
    return COMPLETED
