"""`manicule check`: looks at everything a server would need, a line each, before it is started."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from server.cli.text import one_line
from server.config.rows import hide_secret
from server.config.settings import Settings

MODEL_TIMEOUT_S: Final = 10.0
"""A model that does not answer a check in this time will not answer people either."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the report; `remedy` says what to do when it is not ok."""

    part: str
    ok: bool
    what: str
    remedy: str = ""


def run_check(settings: Settings) -> int:
    """Check everything and print it; 0 when all is well, else 1."""
    console = Console(highlight=False, soft_wrap=True)
    failed = asyncio.run(_print_results(settings, console))
    console.print("All is well." if not failed else f"{failed} failed.", style="bold")
    return 1 if failed else 0


async def _print_results(settings: Settings, console: Console) -> int:
    failed = 0
    async for result in check_all(settings):
        failed += not result.ok
        mark = ("ok      ", "green") if result.ok else ("failed  ", "bold red")
        console.print(Text.assemble(mark, f"{result.part:<10} {one_line(result.what)}"))
        if not result.ok and result.remedy:
            console.print(Text(f"{'':19}{one_line(result.remedy)}", style="yellow"))
    return failed


async def check_all(settings: Settings) -> AsyncIterator[Result]:
    """Yield what was found, part by part; a part that fails does not stop the others."""
    yield Result("settings", True, f"model {settings.model}, listens on {settings.host}")
    yield _check_data(settings.data_dir)
    for part, check in _FILES:
        yield _guard(part, check, settings)
    yield Result("retention", True, _retention(settings))
    async for result in _check_services(settings):
        yield result
    async for result in _check_models(settings):
        yield result


def _guard(part: str, check: Callable[[Settings], str], settings: Settings) -> Result:
    try:
        return Result(part, True, check(settings))
    except Exception as error:  # noqa: BLE001 - the report is about whatever went wrong
        problems = getattr(error, "problems", (str(error) or type(error).__name__,))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return Result(part, False, f"{problems[0]}{more}")


def _check_data(folder: Path) -> Result:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"manicule")
    except OSError as error:
        remedy = "Give a folder that this user may write with --data-dir."
        return Result("data", False, f"{folder}: {error.strerror}", remedy)
    return Result("data", True, f"{folder.absolute()} can be written")


def _check_catalog(settings: Settings) -> str:
    from server.plan import read_catalog

    catalog = read_catalog(settings)
    with_manual = sum(product.manual is not None for product in catalog.products)
    noun = "product" if len(catalog) == 1 else "products"
    return f"{len(catalog)} {noun}, {with_manual} with a manual"


def _check_prompts(settings: Settings) -> str:
    from prompts.library import load_prompts

    return f"scenarios {', '.join(load_prompts(settings.prompts_dir).scenarios)}"


def _retention(settings: Settings) -> str:
    days = settings.feedback_retention_days
    if settings.expire == "off":
        return f"off: what is older than {days} days stays (MANICULE_EXPIRE)"
    return f"{settings.expire} what is older than {days} days, once a day"


def _check_webhooks(settings: Settings) -> str:
    from server.plan import read_webhooks

    names = [one.name for one in read_webhooks(settings)]
    return f"endpoints {', '.join(names)}" if names else "nobody is told of anything"


_FILES: Final = (
    ("catalog", _check_catalog),
    ("prompts", _check_prompts),
    ("webhooks", _check_webhooks),
)


async def _check_services(settings: Settings) -> AsyncIterator[Result]:
    from server.storage import checks

    places = (
        ("cache", settings.cache_url, checks.check_cache),
        ("log", settings.log_url, checks.check_log),
        ("store", settings.store, checks.check_store),
    )
    for part, url, check in places:
        if not url:
            yield Result(
                part, True, "SQLite in the data folder" if part == "store" else "in process"
            )
            continue
        for finding in await check(url):
            what = f"{hide_secret(url)}: {finding.what}"
            yield Result(part, finding.ok, what, finding.remedy)


async def _check_models(settings: Settings) -> AsyncIterator[Result]:
    from server.llm.port import UpstreamError
    from server.plan import make_chain

    try:
        chain = make_chain(settings)
    except ValueError as error:
        yield Result("model", False, str(error), "Write a chain such as gemini:NAME,extractive.")
        return
    try:
        for model in chain.models:
            try:
                async with asyncio.timeout(MODEL_TIMEOUT_S):
                    await model.check()
                yield Result("model", True, f"{model.name} answers")
            except UpstreamError as error:
                remedy = "Check its key, name and address; answers come from the next model."
                yield Result("model", False, f"{model.name}: {error}", remedy)
            except TimeoutError:
                what = f"{model.name}: no answer in {MODEL_TIMEOUT_S:.0f} s"
                yield Result("model", False, what, "Check its address and the network.")
    finally:
        await chain.aclose()
