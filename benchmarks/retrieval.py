"""Retrieval: how often the right page is found, and what it costs.

Needs a folder with `documents.jsonl` (manuals as pages) and `questions.jsonl` (questions with the
pages that answer them), which are not part of this repository. A question counts as found at k
when one of the first k passages touches a page that answers it. Compared are the first 50,000
characters of the manual, the BM25 of the library rank-bm25 over whole pages and over our passages
("cuts"; lower-case words, its own defaults), and our index without and with the manual's outline.

"sent" are the tokens of the context that goes to the model, "in it" how often that context holds a
right page. "build" is the time to index 100 pages, "search" that of one question.

The note under the table is the built-in model's: token F1 of its answers, markers taken out,
against the human answers of the data (lower case, no punctuation, no articles).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rank_bm25 import BM25Okapi

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Measure, Result
from benchmarks.tables import publish
from protocol.markers import MarkerParser, Text
from server.language.tokens import estimate_tokens
from server.llm.extractive import compose
from server.llm.port import ModelRequest
from server.manuals.context import choose_context, render_manual
from server.manuals.documents import PAGE_SEPARATOR, ManualText, OutlineEntry
from server.manuals.layout import page_at, page_offsets
from server.manuals.ranking import ManualIndex

NAIVE, OURS = "first 50,000", "with outline"
NAIVE_CHARS = 50_000
BUDGET_TOKENS = 2000
CUTS = (1, 3, 5)
DEPTH = 20

Span = tuple[int, int]
Search = Callable[[str], list[Span]]


@dataclass
class Method:
    """One way to search a manual: `search` ranks spans, `context` gives what would be sent."""

    search: Search
    context: Callable[[str], list[Span]]


@dataclass
class Tally:
    """What one method did on one set of questions."""

    asked: int = 0
    found: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CUTS, 0))
    reciprocal: float = 0.0
    first_tokens: int = 0
    sent_tokens: int = 0
    sent_right: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Manual:
    """A manual of the data in the two forms compared, and where its pages start."""

    with_outline: ManualText
    without: ManualText
    offsets: Sequence[int]

    @property
    def text(self) -> str:
        """The whole text."""
        return self.with_outline.text

    def pages(self, span: Span) -> set[int]:
        """Return the pages that a span touches."""
        first, last = page_at(self.offsets, span[0]), page_at(self.offsets, span[1] - 1)
        return set(range(first, last + 1))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load_manual(document: dict[str, Any]) -> Manual:
    """Make a manual as the extractor would: pages by number, sections as outline entries."""
    pages = [""] * max(page["page"] for page in document["pages"])
    for page in document["pages"]:
        pages[page["page"] - 1] = page["text"].replace(PAGE_SEPARATOR, "\n")
    text = PAGE_SEPARATOR.join(pages)
    outline = tuple(
        OutlineEntry(section["title"], section["pages"][0], section["path"].count(">"))
        for section in document["sections"]
        if section["pages"]
    )
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    common = (document["id"], text, sha256, document["title"], 0.0)
    return Manual(
        ManualText(*common, outline=outline), ManualText(*common), tuple(page_offsets(text))
    )


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def naive(manual: Manual) -> Method:
    span = (0, min(NAIVE_CHARS, len(manual.text)))
    return Method(lambda _: [span], lambda _: [span])


def plain_bm25(manual: Manual, spans: list[Span]) -> Method:
    """Return the library's BM25 over spans; it would send its first five."""
    bm25 = BM25Okapi([words(manual.text[start:end]) or [""] for start, end in spans])

    def search(question: str) -> list[Span]:
        scores = bm25.get_scores(words(question))
        return [spans[i] for i in sorted(range(len(spans)), key=lambda i: -scores[i])[:DEPTH]]

    return Method(search, lambda question: search(question)[:5])


def page_spans(manual: Manual) -> list[Span]:
    ends = [*[offset - 1 for offset in manual.offsets[1:]], len(manual.text)]
    return [(one, two) for one, two in zip(manual.offsets, ends, strict=True) if one < two]


def ours(text: ManualText) -> Method:
    index = ManualIndex.build(text)

    def search(question: str) -> list[Span]:
        found = (ranked.passage for ranked in index.search(question, DEPTH))
        return [(passage.start_char, passage.end_char) for passage in found]

    def context(question: str) -> list[Span]:
        chosen = choose_context(index, question, budget_tokens=BUDGET_TOKENS).passages
        return [(passage.start_char, passage.start_char + len(passage.text)) for passage in chosen]

    return Method(search, context)


def passage_spans(manual: Manual) -> list[Span]:
    passages = ManualIndex.build(manual.with_outline).passages
    return [(passage.start_char, passage.end_char) for passage in passages]


METHODS: dict[str, Callable[[Manual], Method]] = {
    "first 50,000": naive,
    "bm25 on pages": lambda manual: plain_bm25(manual, page_spans(manual)),
    "bm25 on cuts": lambda manual: plain_bm25(manual, passage_spans(manual)),
    "no outline": lambda manual: ours(manual.without),
    OURS: lambda manual: ours(manual.with_outline),
}


def tokens(manual: Manual, spans: Sequence[Span]) -> int:
    return sum(estimate_tokens(manual.text[start:end]) for start, end in spans)


def ask(manual: Manual, method: Method, question: dict[str, Any], tally: Tally) -> None:
    """Ask one question and add what came of it."""
    right = set(question["gold_pages"])
    started = time.perf_counter()
    found = method.search(question["question"])
    tally.seconds += time.perf_counter() - started
    hits = (rank for rank, span in enumerate(found, 1) if right & manual.pages(span))
    rank = next(hits, None)
    tally.asked += 1
    if rank is not None:
        tally.reciprocal += 1 / rank
        for cut in CUTS:
            tally.found[cut] += rank <= cut
    sent = method.context(question["question"])
    tally.first_tokens += tokens(manual, found[:3])
    tally.sent_tokens += tokens(manual, sent)
    tally.sent_right += any(right & manual.pages(span) for span in sent)


def measure(
    manuals: dict[str, Manual], questions: list[dict[str, Any]], make: Callable[[Manual], Method]
) -> tuple[Tally, float]:
    """Return the tally of one method, and its seconds of building per 100 pages."""
    tally = Tally()
    needed = {question["doc_id"] for question in questions}
    started = time.perf_counter()
    methods = {name: make(manuals[name]) for name in needed}
    seconds = time.perf_counter() - started
    for question in questions:
        ask(manuals[question["doc_id"]], methods[question["doc_id"]], question, tally)
    return tally, 100 * seconds / sum(len(manuals[name].offsets) for name in needed)


def add_row(result: Result, label: str, group: str, rounds: list[tuple[Tally, float]]) -> None:
    """Add what one method did on one set; only times differ between rounds."""
    tally = rounds[0][0]
    asked = tally.asked
    result.add(
        label,
        group=group,
        baseline=label == NAIVE,
        **{f"r{cut}": tally.found[cut] / asked for cut in CUTS},
        mrr=tally.reciprocal / asked,
        first=tally.first_tokens / asked,
        sent=tally.sent_tokens / asked,
        right=tally.sent_right / asked,
        build=[build_s * 1000 for _, build_s in rounds],
        search=[each.seconds / asked * 1e6 for each, _ in rounds],
    )


def answer_f1(manuals: dict[str, Manual], questions: list[dict[str, Any]]) -> float:
    """Return the mean token F1 of the built-in model's answers."""
    indexes = {
        name: ManualIndex.build(manuals[name].with_outline)
        for name in {question["doc_id"] for question in questions}
    }
    scores: list[float] = []
    for question in questions:
        text = question["question"]
        context = choose_context(indexes[question["doc_id"]], text, budget_tokens=BUDGET_TOKENS)
        manual = render_manual(context, boundary="benchmark")
        answer, _ = compose(ModelRequest("", manual, text, context.passages))
        parser = MarkerParser()
        parts = [*parser.feed(answer), *parser.close()]
        said = "".join(part.text for part in parts if isinstance(part, Text))
        scores.append(token_f1(said, question["answer"]))
    return sum(scores) / len(scores)


def token_f1(said: str, wanted: str) -> float:
    ours, theirs = (
        Counter(word for word in words(text) if word not in ("a", "an", "the"))
        for text in (said, wanted)
    )
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0


MEASURES = [
    *(Measure(f"r{cut}", f"R@{cut}", better="more") for cut in CUTS),
    Measure("mrr", "MRR", better="more"),
    Measure("first", "first 3", "tokens"),
    Measure("sent", "sent", "tokens", ratio=True),
    Measure("right", "in it", better="more", ratio=True),
    Measure("build", "build", "ms"),
    Measure("search", "search", "µs"),
]


def main() -> None:
    arguments = Arguments("retrieval", __doc__)
    default = Path(__file__).parents[2] / "shared" / "data"
    arguments.add_argument("--data", type=Path, default=default, help="folder of the question sets")
    arguments.size("--rounds", 3, 1, "times that all is built and asked")
    arguments.size("--questions", 10_000, 40, "of each set, at most")
    options = arguments.parse_args()
    files = [options.data / name for name in ("documents.jsonl", "questions.jsonl")]
    if not all(file.is_file() for file in files):
        print("No question sets here, so nothing was measured. Name their folder with --data.")
        return
    documents, questions = map(read_jsonl, files)
    manuals = {document["id"]: load_manual(document) for document in documents}
    result = Result(
        "retrieval",
        "Retrieval",
        "How often is the right page found, and what does it cost?",
        MEASURES,
        quick=options.quick,
    )
    kept = []
    for name in dict.fromkeys(question["set"] for question in questions):
        asked = [question for question in questions if question["set"] == name][: options.questions]
        kept += asked
        group = f"{name}, {len(asked)} questions"
        for label, make in METHODS.items():
            rounds = [measure(manuals, asked, make) for _ in range(options.rounds)]
            add_row(result, label, group, rounds)
        result.figure(
            f"right page in the context, {group}",
            OURS,
            "right",
            group=group,
            ratio=True,
            at_least=1,
        )
        result.figure(f"tokens sent, {group}", OURS, "sent", group=group, ratio=True, at_most=1)
    answered = [question for question in kept if question["answer"]]
    if answered:
        f1 = answer_f1(manuals, answered)
        result.notes.append(
            f"Built-in model: token F1 {f1:.3f} over {len(answered)} questions with an answer."
        )
    result.plots += [Bars("r1"), Bars("sent", log=True)]
    publish(result)


if __name__ == "__main__":
    main()
