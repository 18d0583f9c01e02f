"""An asyncio event loop whose time is a number and whose schedule is drawn from a seed.

What varies in a real process varies here by the seed alone: which of several independent callbacks
runs first, how late a timer fires, how long a step and a thread take. What asyncio promises is
kept: callbacks that one step scheduled run in the order in which it scheduled them, since done
callbacks rely on that. Nothing sleeps; when nothing is ready, time jumps to the next timer.

Code runs at a `Place` (a process), which every task and callback inherits from the one that made
it. A place can be paused, as by SIGSTOP, or killed: what would run there is put aside, for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from asyncio import events
from collections import deque

from simulated_places import OUTSIDE, PLACE, Place
from stacks import label, where

MAX_STEPS = 400_000
"""Of one run: hundreds of times what a scenario takes, so that a busy loop is found."""

MAX_TIME_S = 86_400.0
"""Of one run: waiting for ever by polling is no progress either."""

TRACE_STEPS = 60
"""How much of the schedule before a failure is shown."""

START_S = 1_000.0
"""The first reading of the clock: no code may take a small number for "long ago"."""

BURIAL_ROUNDS = 20
"""Each cancels what is left: closing one thing may wait for another that is to be closed."""

MAX_LAG_S = 0.003
MAX_THREAD_S = 0.005


class SimulationError(Exception):
    """The simulated program did what no program may do; the message shows its tasks."""


class DeadlockError(SimulationError):
    """Nothing is ready, nothing is scheduled, and the main task waits."""


class EndlessError(SimulationError):
    """The steps or the time of a run were used up."""


class OutsideWorldError(SimulationError):
    """The program wanted a socket, a signal or a process of the real world."""


class SimulatedTask(asyncio.Task):
    """A task whose place in a set depends on its number and not on its address."""

    def __init__(self, coro, *, serial, **options):
        self.serial = serial
        super().__init__(coro, **options)

    def __hash__(self):
        return self.serial


class SimulatedFuture(asyncio.Future):
    """A future with such a number."""

    def __init__(self, *, serial, loop):
        self.serial = serial
        super().__init__(loop=loop)

    def __hash__(self):
        return self.serial


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one program under one seed. `digest` tells schedules apart."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = dice = random.Random(f"schedule {seed}")
        self._now = START_S
        self._step_s = dice.choice((0.0, 1e-6, 2e-5))
        self._disorder = dice.choice((0.0, 0.2, 1.0))
        self._lag = dice.choice((0.0, 0.0, 0.3))
        self._serials = itertools.count(1)
        self._runnable: dict[int, deque[tuple[int, events.Handle]]] = {}
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._places: list[Place] = []
        self._current = 0
        self._is_over = False
        self._trace: deque[tuple[float, events.Handle]] = deque(maxlen=TRACE_STEPS)
        self.steps = 0
        self.digest = 0
        self.tasks: list[SimulatedTask] = []
        self.complaints: list[str] = []
        self.story: list[str] = []
        self.expected: set[str] = set()
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._complain)

    # Time and scheduling

    def time(self) -> float:
        return self._now

    def call_soon(self, callback, *args, context=None):
        self._check_closed()
        handle = events.Handle(callback, args, self, context)
        # Grouped by who scheduled it: the order inside a group is a promise of asyncio.
        self._enqueue(self._current or -next(self._serials), handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when, callback, *args, context=None):
        self._check_closed()
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True
        heapq.heappush(self._timers, (when, next(self._serials), timer))
        return timer

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle):
        """Nothing: it is dropped when its time comes."""

    def _enqueue(self, group: int, handle: events.Handle) -> None:
        place = handle._context.get(PLACE, OUTSIDE)
        serial = next(self._serials)
        if place.stopped:
            place.put_aside.append((serial, handle))
        else:
            self._runnable.setdefault(group, deque()).append((serial, handle))

    def _run_once(self) -> None:
        if self._stopping:
            return
        self._fire_timers()
        while not self._runnable:
            self._jump()
        serial, handle = self._take()
        place = handle._context.get(PLACE, OUTSIDE)
        if place.stopped:
            place.put_aside.append((serial, handle))
        elif not handle.cancelled():
            self._step(serial, handle)

    def _take(self) -> tuple[int, events.Handle]:
        if self._disorder and self._dice.random() < self._disorder:
            key = self._dice.choice(list(self._runnable))
        else:
            key = min(self._runnable, key=lambda key: self._runnable[key][0][0])
        group = self._runnable[key]
        taken = group.popleft()
        if not group:
            del self._runnable[key]
        return taken

    def _step(self, serial: int, handle: events.Handle) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS or self._now > START_S + MAX_TIME_S:
            raise EndlessError(f"no end after {self.steps} steps\n{self.describe()}")
        self.digest = hash((self.digest, serial)) & 0xFFFF_FFFF
        self._trace.append((self._now, handle))
        self._current = serial
        try:
            handle._run()
        finally:
            self._current = 0
        self._now += self._step_s

    def _jump(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise DeadlockError(f"everything waits, for nothing\n{self.describe()}")
        self._now = max(self._now, self._timers[0][0])
        if self._lag and self._dice.random() < self._lag:
            self._now += self._dice.uniform(0, MAX_LAG_S)
        self._fire_timers()

    def _fire_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self._now:
            _, serial, timer = heapq.heappop(self._timers)
            timer._scheduled = False
            if not timer.cancelled():
                self._enqueue(-serial, timer)

    # Places

    def stop_place(self, place: Place) -> None:
        """Let nothing of it run any more until it is resumed, if ever."""
        if self._is_over:
            return
        place.stopped = True
        if place not in self._places:
            self._places.append(place)

    def resume_place(self, place: Place) -> None:
        """Let it go on; its timers that fell due meanwhile fire now."""
        place.stopped = False
        aside, place.put_aside = place.put_aside, []
        for serial, handle in aside:
            self._runnable.setdefault(-serial, deque()).append((serial, handle))

    # What the program makes

    def _make_task(self, loop, coro, **options):
        task = SimulatedTask(coro, serial=next(self._serials), loop=loop, **options)
        self.tasks.append(task)
        return task

    def create_future(self):
        return SimulatedFuture(serial=next(self._serials), loop=self)

    def run_in_executor(self, executor, func, *args):
        """Run `func` at one moment of the near future, as a thread that takes no turn does."""
        done = self.create_future()

        def work() -> None:
            if done.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(result)

        self.call_later(self._dice.uniform(0, MAX_THREAD_S), work)
        return done

    def _complain(self, loop, context) -> None:
        error = context.get("exception")
        self.complaints.append(f"{context['message']}: {error!r}")

    # The outside world

    def _refuse(self, *args, **options):
        raise OutsideWorldError("a simulated program has no sockets, signals or processes")

    async def _refuse_later(self, *args, **options):
        self._refuse()

    add_reader = remove_reader = add_writer = remove_writer = _refuse
    add_signal_handler = remove_signal_handler = _refuse
    sock_recv = sock_recv_into = sock_sendall = sock_connect = sock_accept = _refuse_later
    sock_sendfile = sock_recvfrom = sock_recvfrom_into = sock_sendto = _refuse_later
    create_connection = create_server = create_datagram_endpoint = _refuse_later
    create_unix_connection = create_unix_server = connect_accepted_socket = _refuse_later
    connect_read_pipe = connect_write_pipe = sendfile = start_tls = _refuse_later
    subprocess_exec = subprocess_shell = getaddrinfo = getnameinfo = _refuse_later

    def _process_events(self, event_list):
        """There are none."""

    def _write_to_self(self):
        """Nobody sleeps."""

    # The end

    def bury(self) -> None:
        """Let everything that is left be cancelled and end, also at places that were killed."""
        self._is_over, self._disorder = True, 0.0
        for place in self._places:
            self.resume_place(place)
        for _ in range(BURIAL_ROUNDS):
            pending = [task for task in self.tasks if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel()
            self.steps = 0
            with contextlib.suppress(DeadlockError, EndlessError):
                self.run_until_complete(asyncio.wait(pending))
        self.run_until_complete(self.shutdown_asyncgens())
        for task in self.tasks:
            if not task.done():  # made at the very end, or it swallows cancellation
                with contextlib.suppress(RuntimeError):
                    task.get_coro().close()

    def describe(self) -> str:
        """What was done to the world, what tasks wait for, the last steps of the schedule."""
        lines = [f"time {self._now - START_S:.6f} s, {self.steps} steps", *self.story]
        for task in self.tasks:
            if not task.done():
                lines.append(f"  {task.get_name()} {where(task.get_coro())}")
        lines.append("  last steps:")
        for now, handle in self._trace:
            place = handle._context.get(PLACE, OUTSIDE).name
            lines.append(f"    {now - START_S:.6f} {place}: {label(handle)}")
        return "\n".join(lines)
