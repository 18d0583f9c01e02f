"""A question that was taken: the event with everything it names looked up."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from prompts.library import Prompt
from protocol.events import PromptRef, StartedResponse
from protocol.messages import ResponseCreate
from server.answering.admission import ANYBODY, Standing
from server.answering.topics import NOBODY, Asker
from server.llm.port import Turn
from server.manuals.products import Catalog, Product


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `text` has hidden characters taken out; `received_at` is monotonic seconds."""

    response_id: str
    event: ResponseCreate
    text: str
    product: Product
    prompt: Prompt
    language: str
    created_at: int
    received_at: float
    asker: Asker = NOBODY
    standing: Standing = ANYBODY

    @property
    def tenant(self) -> str:
        """The tenant that asked."""
        return self.asker.tenant

    @property
    def history(self) -> tuple[Turn, ...]:
        """What the conversation said before."""
        return tuple(Turn(turn.role, turn.content) for turn in self.event.history)

    @property
    def prompt_ref(self) -> PromptRef:
        """The prompt as the client is told of it."""
        return PromptRef(name=self.prompt.name, version=self.prompt.version)

    @property
    def prompt_path(self) -> str:
        """The prompt as receipts and rows name it: name, scenario and version."""
        return f"{self.prompt.name}/{self.prompt.scenario}/{self.prompt.version}"

    def started(self, *, resumable: bool) -> StartedResponse:
        """Return what `response.created` says."""
        return StartedResponse(
            id=self.response_id,
            status="in_progress",
            task=self.event.task,
            product_id=self.product.id,
            scenario=self.event.scenario,
            created_at=self.created_at,
            prompt=self.prompt_ref,
            experiment=None,
            resumable=resumable,
            previous_response_id=self.event.previous_response_id or UNSET,
        )


def product_facts(product: Product, catalog: Catalog) -> str:
    """Return what the catalog knows of a product, a line a fact."""
    lines = [f"Name: {product.name}"]
    lines += [f"Brand: {product.brand}"] if product.brand else []
    lines += [f"Category: {product.category}"] if product.category else []
    lines += [f"Description: {product.description}"] if product.description else []
    names = [found.name for id_ in product.accessories if (found := catalog.get(id_))]
    lines += [f"Accessories: {', '.join(names)}"] if names else []
    return "\n".join(lines)
