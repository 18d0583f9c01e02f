"""How sure an answer can be, from the search alone, and what the client should make of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from server.manuals.context import Context

Guidance = Literal["answer", "hedge", "rephrase", "abstain"]

INTERCEPT = -2.8
SHARE_WEIGHT = 6.4
MARGIN_WEIGHT = 2.4
"""The three constants of the logistic. They were fitted on 357 human questions about a television,
each asked of its own manual (right: one of the first three passages is on a right page) and, at a
quarter of the weight, of another product's manual (always wrong). Checked on 464 questions over
six other manuals: area under the curve 0.99 for questions about another product (0.98 where it was
fitted), expected calibration error 0.08. Near misses, the right pages taken out of the right
manual, are told apart far less well: 0.69 for human questions, 0.95 for questions that repeat a
title."""

LEVEL_MARGIN = 0.02
"""Two sections whose best scores are this near are level: nothing tells which one is meant."""


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

    `model_signal` is the model's own confidence, 0..1, where it gave one. `is_confused`: the
    question has no content words, or two sections answer it equally well. Without a manual the
    confidence is None, since nothing was there to be sure of.
    """
    if context is None:
        return Judgement(None, is_confused=False, guidance="abstain")
    bears = bool(context.passages)
    is_confused = context.question_terms == 0 or (bears and context.margin < LEVEL_MARGIN)
    confidence = estimate(context.share, context.margin, model_signal)
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
