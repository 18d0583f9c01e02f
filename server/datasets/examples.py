"""From a judgement to what can be learnt from it, or the reason why nothing can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.storage.records import InteractionRow
from server.storage.store import Judged

Reason = Literal[
    "no_interaction", "item_judgement", "rejected", "rated", "dismissed", "no_pair",
    "not_counted", "unfinished_answer", "empty_question", "empty_answer", "same_text",
    "too_long", "not_unicode", "invalid_line", "duplicate", "golden_question",
]  # fmt: skip
"""Why a judgement or a line of it is left out; a manifest counts each.

`item_judgement`: it is about one item, which says nothing of the whole answer. `not_counted`: the
same person decided about it anew, or its principal judged too much that day. `unfinished_answer`:
cut, failed or cancelled. `no_pair`: no other answer that it could be compared with. `same_text`:
both sides of a pair are equal. `golden_question`: it is in the golden set, which must not be
trained on.
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the answer to learn."""

    question: str
    answer: str
    system: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question, the answer preferred and the one it was preferred over."""

    question: str
    preferred: str
    rejected: str
    system: str = ""


def example_of(judged: Judged, system: str = "") -> Example | Reason:
    """Return the fine-tuning example of a judgement.

    An accepted answer is one as it stands, a modified one with the text it was changed to.
    """
    about = judged.interaction
    reason = unusable(judged)
    if reason or about is None:
        return reason or "no_interaction"
    if judged.feedback.action == "accept" and about.outcome != "completed":
        return "unfinished_answer"
    answer = preferred_of(judged)
    if not about.question.strip():
        return "empty_question"
    if not answer.strip():
        return "empty_answer"
    return Example(about.question, answer, _system_of(system, about))


def modified_pair(judged: Judged, system: str = "") -> Pair | Reason:
    """Return the pair of a modified answer: the text it was changed to over the original."""
    reason = unusable(judged)
    if reason or judged.interaction is None:
        return reason or "no_interaction"
    if judged.feedback.action != "modify":
        return "no_pair"
    return pair_of(judged.interaction, preferred_of(judged), judged.interaction.answer, system)


def preferred_of(judged: Judged) -> str:
    """Return the text that an accepting or modifying judgement stands for."""
    if judged.feedback.action == "modify":
        return judged.feedback.final_text or ""
    return judged.interaction.answer if judged.interaction else ""


def pair_of(about: InteractionRow, preferred: str, rejected: str, system: str) -> Pair | Reason:
    """Return the pair of two answers to the question of `about`."""
    if not about.question.strip():
        return "empty_question"
    if not preferred.strip() or not rejected.strip():
        return "empty_answer"
    if preferred.strip() == rejected.strip():
        return "same_text"
    return Pair(about.question, preferred, rejected, _system_of(system, about))


def unusable(judged: Judged) -> Reason | None:
    """Return why a judgement prefers no text; None when it accepts or modifies an answer."""
    feedback = judged.feedback
    match feedback.action:
        case "reject":
            return "rejected"
        case "rate":
            return "rated"
        case "dismiss":
            return "dismissed"
        case _:
            pass
    if feedback.item_id is not None:
        return "item_judgement"
    if feedback.weight < 1:
        return "not_counted"
    return None if judged.interaction else "no_interaction"


def _system_of(system: str, about: InteractionRow) -> str:
    return system.replace("{product_id}", about.product_id or "")
