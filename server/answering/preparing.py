"""From a question to what the model is asked: manual, passages, prompt, cache key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET

from prompts.library import compose
from protocol.events import ManualFacts, Source
from protocol.items import CitableText, ItemMaker
from server.answering.answer_cache import answer_key, normalise_question
from server.answering.known_products import KnownProducts
from server.answering.question import Question, product_facts
from server.language.cleaning import neutralise
from server.language.terms import terms
from server.llm.port import ModelRequest, Turn
from server.manuals.context import Context, choose_context, render_manual
from server.manuals.library import Library, ManualView, Progress
from server.manuals.products import Catalog
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import span

# A follow-up such as "and then?" names nothing to look for: below this many content words the
# question before it is looked up too.
MIN_QUERY_TERMS = 2


@dataclass(frozen=True, slots=True)
class Preparation:
    """All that is known before a model is asked. Times are seconds."""

    view: ManualView
    context: Context | None
    request: ModelRequest
    item_maker: ItemMaker
    cache_key: str | None
    manual_s: float
    retrieval_s: float

    @property
    def manual_sha256(self) -> str | None:
        """The hash of the manual's text."""
        return self.view.prepared.manual.sha256 if self.view.prepared else None

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the client is told of the passages."""
        if self.context is None:
            return ()
        return tuple(
            Source(page=found.page, heading=found.heading, score=min(1.0, max(0.0, found.score)))
            for found in self.context.sources
        )

    @property
    def manual_facts(self) -> ManualFacts:
        """What the client is told of the manual."""
        prepared = self.view.prepared
        return ManualFacts(
            status=self.view.status,
            pages=prepared.manual.pages if prepared else None,
            sha256=prepared.manual.sha256 if prepared else None,
            problem=self.view.problem or UNSET,
            message=self.view.message or UNSET,
        )


class Preparer:
    """Prepares questions. `new_boundary` gives a random text no manual can guess."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        library: Library,
        metrics: Metrics,
        clock: Callable[[], float],
        new_boundary: Callable[[], str],
        model_chain: str,
        context_tokens: int,
        max_output_tokens: int,
    ) -> None:
        self._catalog = catalog
        self._library = library
        self._metrics = metrics
        self._clock = clock
        self._new_boundary = new_boundary
        self._model_chain = model_chain
        self._context_tokens = context_tokens
        self._max_output_tokens = max_output_tokens
        self._known = KnownProducts(catalog.products)

    async def prepare(
        self, question: Question, on_progress: Callable[[Progress], None]
    ) -> Preparation:
        """Get the manual, choose passages, write the request."""
        started = self._clock()
        view = await self._library.get(question.product.id, question.product.manual, on_progress)
        self._metrics.count("manual_requests_total", view.status)
        got_manual = self._clock()
        with span("retrieve", **{"gen_ai.operation.name": "retrieval"}) as retrieving:
            context = self._choose(question, view)
            retrieving.set({"manicule.passages": len(context.passages) if context else 0})
        chosen = self._clock()
        self._metrics.observe("retrieval_seconds", chosen - got_manual)
        request = self._write(question, context)
        return Preparation(
            view=view,
            context=context,
            request=request,
            item_maker=self._item_maker(question, view, context),
            cache_key=self._cache_key(question, view, request.facts),
            manual_s=got_manual - started,
            retrieval_s=chosen - got_manual,
        )

    def _choose(self, question: Question, view: ManualView) -> Context | None:
        if view.prepared is None:
            return None
        query = question.text
        if len(set(terms(query))) < MIN_QUERY_TERMS:
            earlier = [turn.content for turn in question.history if turn.role == "user"]
            query = " ".join([*earlier[-1:], query])
        return choose_context(view.prepared.index, query, budget_tokens=self._context_tokens)

    def _write(self, question: Question, context: Context | None) -> ModelRequest:
        boundary = self._new_boundary()
        facts = product_facts(question.product, self._catalog)
        return ModelRequest(
            system=compose(
                question.prompt, facts=facts, language=question.language, boundary=boundary
            ),
            manual=render_manual(context, boundary=boundary) if context else "",
            question=neutralise(question.text),
            passages=context.passages if context else (),
            history=tuple(Turn(turn.role, neutralise(turn.content)) for turn in question.history),
            product_name=question.product.name,
            facts=facts,
            language=question.language,
            max_output_tokens=self._max_output_tokens,
        )

    def _item_maker(
        self, question: Question, view: ManualView, context: Context | None
    ) -> ItemMaker:
        manual = CitableText()
        if view.prepared is not None and context is not None:
            spans = tuple(
                (found.page, found.start_char, found.start_char + len(found.text))
                for found in context.passages
            )
            manual = CitableText(view.prepared.manual.text, view.prepared.page_starts, spans)
        return ItemMaker(manual, self._known.finder(question.product))

    def _cache_key(self, question: Question, view: ManualView, facts: str) -> str | None:
        """Return what the answer depends on, hashed; None when it must not be kept."""
        if view.status == "unavailable":
            return None  # a better answer is possible as soon as the manual is back
        return answer_key(
            question.tenant,
            view.prepared.identity if view.prepared else None,
            question.prompt.sha256,
            self._model_chain,
            str(self._context_tokens),
            str(self._max_output_tokens),
            question.language,
            facts,
            *(f"{turn.role}:{turn.content}" for turn in question.history),
            normalise_question(question.text),
        )
