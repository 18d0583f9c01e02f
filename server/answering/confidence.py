"""How sure an answer can be, from the search alone, and what the client should make of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from server.manuals.context import Context

Guidance = Literal["answer", "hedge", "rephrase", "abstain"]

INTERCEPT = -2.0
SHARE_WEIGHT = 6.0
MARGIN_WEIGHT = 1.0
LEVEL_MARGIN = 0.03
"""Two unlike sections whose scores are this near are level."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Confidence under which guidance is `rephrase`, and under which it is `hedge`; settings."""

    rephrase_below: float = 0.4
    hedge_below: float = 0.6


@dataclass(frozen=True, slots=True)
class Judgement:
    """`confidence` is 0..1, or None where the number would mean nothing."""

    confidence: float | None
    is_confused: bool
    guidance: Guidance


def assess(
    context: Context | None, *, thresholds: Thresholds, model_signal: float | None = None
) -> Judgement:
    """Judge an answer by its search; `context` is None when there was no manual to search.

    `model_signal` is the model's own confidence, 0..1, where it gave one. Without a manual the
    confidence is None and the guidance `hedge`: whatever was said rests on general knowledge.
    """
    if context is None:
        return Judgement(None, is_confused=False, guidance="hedge")
    bears = bool(context.passages)
    is_confused = context.question_terms == 0 or (bears and context.margin < LEVEL_MARGIN)
    confidence = estimate(context.share, context.margin, model_signal) if bears else 0.0
    return Judgement(confidence, is_confused, _guide(confidence, is_confused, bears, thresholds))


def estimate(share: float, margin: float, model_signal: float | None = None) -> float:
    """Return the confidence, 0..1: a logistic of share and margin.

    A model's own signal can lower the result, never raise it.
    """
    drive = INTERCEPT + SHARE_WEIGHT * share + MARGIN_WEIGHT * margin
    confidence = 1 / (1 + math.exp(-drive))
    if model_signal is not None:
        confidence = min(confidence, 0.5 + model_signal / 2)
    return round(confidence, 3)


def _guide(confidence: float, is_confused: bool, bears: bool, thresholds: Thresholds) -> Guidance:
    if not bears:
        return "abstain"
    if confidence < thresholds.rephrase_below:
        return "rephrase"
    if is_confused or confidence < thresholds.hedge_below:
        return "hedge"
    return "answer"
