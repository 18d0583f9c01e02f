"""What many want at once begins in order, a little of it in each iteration of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

AT_ONCE: Final = 2
"""Begun in one iteration. A question costs 2 to 3 ms until its first text, in a few steps, each in
an iteration of its own."""

WAITING_FOR_ONE_MORE: Final = 32
"""For each so many that wait one more begins in an iteration. When there is more to do than time,
the queue takes its share so, and is not starved by the text of those who are through."""


class Turns:
    """Lets some callers begin in each iteration of the loop; others wait, first come first.

    `at_once` begin, and one more for each 32 that wait.

    A hundred questions that arrive together would else be taken apart, looked up and sent to the
    model side by side, and the text of all running answers waits for the whole of it. The loop
    does not rest while somebody waits. New connections and the ends of answers take turns likewise.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._begun = 0
        self._waiting: deque[Callable[[], None]] = deque()

    async def take(self) -> None:
        """Return when it is the caller's turn: without waiting, unless there are many."""
        if not self._take_now():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(partial(_end, turn))
            await turn

    def give(self, begin: Callable[[], None]) -> None:
        """Call `begin`, which must not raise, when it is its turn: now, unless there are many."""
        if self._take_now():
            begin()
        else:
            self._waiting.append(begin)

    def _take_now(self) -> bool:
        if self._waiting or self._begun >= self._at_once:
            return False
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._next_iteration)
        self._begun += 1
        return True

    def _next_iteration(self) -> None:
        waiting = len(self._waiting)
        self._begun = min(self._at_once + waiting // WAITING_FOR_ONE_MORE, waiting)
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_iteration)
        for _ in range(self._begun):
            self._waiting.popleft()()


def _end(turn: asyncio.Future[None]) -> None:
    if not turn.done():  # cancelled with the task that waits for it
        turn.set_result(None)
