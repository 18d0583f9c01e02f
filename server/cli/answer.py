"""An answer in a terminal: text as it comes, markers as what they are, the facts at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from server.cli.text import one_line, plain

Event = Mapping[str, Any]

_CARDS: Final = {
    "warning": ("Warning", "bold red"),
    "pro_tip": ("Tip", "cyan"),
    "suggestion": ("Suggestion", "magenta"),
}
_STAGES: Final = {
    "queued": "waiting for a place",
    "manual.fetching": "getting the manual",
    "manual.extracting": "reading the manual",
    "retrieving": "looking up the passages",
    "generating": "writing",
}
_QUOTE_CHARS: Final = 240


class AnswerView:
    """Draws the events of one answer on `out`; what is being done goes to `progress`, if given."""

    def __init__(self, out: Console, progress: Console | None = None) -> None:
        self._out = out
        self._progress = progress
        self._progress_shown = False
        self._restart()

    def _restart(self) -> None:
        self._line_start = True
        self._blank_line = False
        self._wrote = False
        self._citations: dict[tuple[int, str], int] = {}
        self._follow_ups: list[str] = []

    def show(self, event: Event) -> None:
        """Draw one event; unknown ones are passed over."""
        match event["type"]:
            case "response.in_progress":
                self._show_stage(event)
            case "response.output_text.delta":
                self._write(plain(event.get("delta", "")))
            case "response.output_item.done":
                self._show_item(event.get("item", {}))
            case "response.attempt.started" if event.get("reason") != "first":
                self._note(f"asking {one_line(event.get('model'))} ({event.get('reason')})")
            case "response.reset":
                self._end_line()
                if self._wrote:
                    self._out.print("The answer starts again.", style="dim")
                self._restart()
            case "response.completed" | "response.incomplete":
                self._finish(event.get("response", {}))
            case "response.failed" | "response.cancelled":
                self._finish(event.get("response", {}))

    def _write(self, text: str, style: str = "") -> None:
        body = text.rstrip("\n")
        breaks = len(text) - len(body)
        if not body and self._line_start:
            self._blank_line = self._wrote  # kept back: at the end nobody needs it
            return
        if not text:
            return
        self._clear_progress()
        shown = "\n" * self._blank_line + body + "\n" * (breaks > 0)
        self._out.print(Text(shown, style=style), end="", soft_wrap=True, highlight=False)
        self._line_start = breaks > 0
        self._blank_line = breaks > 1
        self._wrote = True

    def _end_line(self) -> None:
        self._clear_progress()
        if not self._line_start:
            self._out.print()
            self._line_start = True

    def _show_item(self, item: Mapping[str, Any]) -> None:
        kind = item.get("type")
        if kind == "citation":
            key = (int(item.get("page", 0)), one_line(item.get("cited_text"), _QUOTE_CHARS))
            number = self._citations.setdefault(key, len(self._citations) + 1)
            self._write(f"[{number}]", "green")
        elif kind == "follow_up":
            self._follow_ups.append(one_line(item.get("text")))
        elif kind in _CARDS:
            title, style = _CARDS[kind]
            self._end_line()
            known = item.get("product_id")
            more = f" ({one_line(known)})" if known else ""
            self._write(f"  {title}: ", style)
            self._write(one_line(item.get("text")) + more + "\n")

    def _show_stage(self, event: Event) -> None:
        detail = event.get("detail") or {}
        stage = _STAGES.get(event.get("stage", ""), one_line(event.get("stage")))
        if "pages_done" in detail:
            total = detail.get("pages_total")
            pages = detail["pages_done"]
            stage += f": page {pages} of {total}" if total else f": page {pages}"
        elif "queue_position" in detail:
            stage += f": number {detail['queue_position']}"
        elif (progress := event.get("progress")) is not None:
            stage += f": {progress:.0%}"
        self._note(stage)
        manual = event.get("manual") or {}
        if message := manual.get("message"):
            self._end_line()
            self._out.print(Text(f"Manual: {one_line(message)}", style="yellow"), soft_wrap=True)

    def _note(self, text: str) -> None:
        """Show what is being done on one line that the next one replaces."""
        if self._progress is not None and self._line_start:
            width = max(20, self._progress.width - 2)
            line = f"{one_line(text, width)} …"
            self._progress.file.write(f"\r\x1b[2K{line}")
            self._progress.file.flush()
            self._progress_shown = True

    def _clear_progress(self) -> None:
        if self._progress_shown and self._progress is not None:
            self._progress.file.write("\r\x1b[2K")
            self._progress.file.flush()
            self._progress_shown = False

    def _finish(self, response: Mapping[str, Any]) -> None:
        self._end_line()
        if self._citations:
            self._out.print("\nSources", style="bold")
            for (page, quote), number in self._citations.items():
                line = Text.assemble((f"[{number}]", "green"), f" p. {page}  “{quote}”")
                self._out.print(line, soft_wrap=True, highlight=False)
        if self._follow_ups:
            self._out.print("\nAsk next", style="bold")
            for question in self._follow_ups:
                self._out.print(Text(f"- {question}"), soft_wrap=True, highlight=False)
        if error := response.get("error"):
            message = f"{one_line(error.get('code'))}: {one_line(error.get('message'))}"
            self._out.print(Text(f"\nNo answer. {message}", style="bold red"), soft_wrap=True)
        self._out.print(Text(f"\n{facts_line(response)}", style="dim"), soft_wrap=True)


def facts_line(response: Mapping[str, Any]) -> str:
    """Return the final facts of an answer in one line; what is not known is left out."""
    facts = [one_line(response.get("status", "")), one_line(response.get("model") or "")]
    confidence = response.get("confidence")
    if isinstance(confidence, int | float):
        facts.append(f"confidence {confidence:.2f} ({one_line(response.get('guidance', ''))})")
    cache = response.get("cache") or {}
    if cache.get("manual"):
        facts.append(f"manual {one_line(cache['manual'])}")
    if cache.get("answer") in ("hit", "shared"):
        facts.append(f"answer from cache ({cache['answer']})")
    if fallback := response.get("fallback"):
        facts.append(f"fallback {one_line(fallback)}")
    timing = response.get("timing_ms") or {}
    for name, label in (("first_token", "first word"), ("total", "total")):
        if isinstance(timing.get(name), int | float):
            facts.append(f"{label} {timing[name]:.0f} ms")
    usage = response.get("usage") or {}
    if usage.get("output_tokens"):
        about = "about " if usage.get("estimated") else ""
        facts.append(f"{about}{usage.get('input_tokens')} + {usage['output_tokens']} tokens")
    cost = response.get("cost_usd")
    if isinstance(cost, int | float) and cost:
        facts.append(f"${cost:.5f}")
    return " · ".join(fact for fact in facts if fact)
