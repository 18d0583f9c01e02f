"""What `manicule bench` does: makes the load, shows how it goes, prints the figures."""

from __future__ import annotations

import asyncio
import string
import sys

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

import manicule
from manicule.load import Figures, Generator, LoadPlan, Summary
from manicule.load.figures import Spread
from server.cli.ask import CANCELLED, CANNOT_CONNECT, FAILED
from server.cli.text import one_line

QUESTIONS = (
    "How do I clean it?",
    "What does the warning light mean?",
    "How do I restore the factory settings?",
    "Which power supply do I need?",
)


def run_load(plan: LoadPlan, *, as_json: bool) -> int:
    """Make the load and print its figures; returns the exit code."""
    try:
        summary = asyncio.run(_run(plan))
    except manicule.CannotConnectError as error:
        return _complain(str(error), CANNOT_CONNECT)
    except (manicule.Error, LookupError) as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        return CANCELLED
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        Console(highlight=False).print(_table(summary))
    if summary.valid:
        return 0
    return _complain(f"These figures are no measurement: {summary.reason}.", FAILED)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(one_line(message) + "\n")
    return code


async def _run(plan: LoadPlan) -> Summary:
    if not plan.products:
        plan = await _with_products(plan)
    console = Console(stderr=True, highlight=False)
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def show(figures: Figures, elapsed_s: float) -> None:
            live.update(_progress(figures, elapsed_s, plan.duration_s), refresh=True)

        return await Generator(plan, on_tick=show).run()


def _progress(figures: Figures, elapsed_s: float, duration_s: float) -> str:
    errors = sum(figures.errors.values())
    return (
        f"{elapsed_s:5.0f} of {duration_s:.0f} s   {figures.asked} asked   "
        f"{figures.running} running   {figures.completed} completed   {errors} errors"
    )


def _table(summary: Summary) -> Table:
    table = Table(title=_title(summary), title_justify="left")
    for column in ("ms", "samples", "p50", "p95", "p99", "p99.9", "most"):
        table.add_column(column, justify="left" if column == "ms" else "right")
    rows: tuple[tuple[str, Spread], ...] = (
        ("first text", summary.first_token_ms),
        ("whole answer", summary.total_ms),
        ("lateness of deltas", summary.delta_lateness_ms),
        ("feedback acknowledged", summary.feedback_ms),
        ("own lateness", summary.send_lateness_ms),
    )
    for name, spread in rows:
        if spread.number:
            values = (spread.p50, spread.p95, spread.p99, spread.p999, spread.most)
            table.add_row(name, str(spread.number), *(f"{value:.1f}" for value in values))
    return table


def _title(summary: Summary) -> str:
    lines = [
        f"{summary.asked} questions in {summary.duration_s:.1f} s, "
        f"at most {summary.most_running} at a time",
        f"{summary.completed} completed ({summary.answers_per_s:.1f} a second), "
        f"{summary.unfinished} unfinished",
        f"{summary.deltas_per_s:.0f} deltas a second; used {summary.cpu_share:.0%} of a core",
    ]
    if summary.resumed or summary.resets:
        lines.append(f"{summary.resumed} answers resumed, {summary.resets} begun anew")
    if summary.slow_closed:
        lines.append(f"{summary.slow_closed} sockets that read nothing were closed")
    if summary.errors:
        lines.append("errors: " + ", ".join(f"{n} {code}" for code, n in summary.errors.items()))
    return "\n".join(lines)


async def _with_products(plan: LoadPlan) -> LoadPlan:
    async with manicule.connect(plan.url, token=plan.token) as client:
        for start in string.ascii_lowercase + string.digits:
            found = await client.search(start, limit=20)
            if found:
                return plan.about(tuple(product.id for product in found))
    raise LookupError("No product was found in the catalog. Name one with --product.")
