"""What load to make. Pure: the dice are handed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A load of `questions_per_s` over `connections` sockets for `duration_s` seconds.

    Questions are about `products` in turn, of which there must be one when the load is made.
    `feedback_share` of the answers are judged. `slow_readers` further sockets ask and read
    nothing; every `reconnect_every_s` seconds (0: never) one socket is cut and its answers are
    resumed on a new one. `words_per_s` is the rate of the model, where it is known: lateness is
    then reckoned for each delta. `drain_s` is how long answers are waited for at the end.
    """

    url: str
    products: tuple[str, ...]
    questions: tuple[str, ...]
    connections: int = 50
    questions_per_s: float = 5.0
    duration_s: float = 30.0
    feedback_share: float = 0.0
    slow_readers: int = 0
    reconnect_every_s: float = 0.0
    words_per_s: float = 0.0
    drain_s: float = 60.0
    token: str | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("connections", "questions_per_s", "duration_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        if not 0 <= self.feedback_share <= 1:
            raise ValueError("feedback_share must be from 0 to 1")
        if not self.questions:
            raise ValueError("there must be a question to ask")

    def about(self, products: tuple[str, ...]) -> LoadPlan:
        """Return the same load about other products."""
        return replace(self, products=products)


def arrivals(plan: LoadPlan, dice: Random) -> Iterator[float]:
    """Yield when questions are due, in seconds from the start: a Poisson process.

    People do not wait for each other, so the gaps are exponential with mean
    `1 / questions_per_s`.
    """
    due = dice.expovariate(plan.questions_per_s)
    while due < plan.duration_s:
        yield due
        due += dice.expovariate(plan.questions_per_s)
