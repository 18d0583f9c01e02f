"""One connection after another: opens the next when one is lost or the server goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from manicule.addresses import socket_address
from manicule.answer import Answer, lost
from manicule.backoff import Backoff
from manicule.connection import Connection
from manicule.decoding import Object
from manicule.environment import Environment
from manicule.errors import ConnectionLostError, Error
from manicule.feedback import FeedbackSender
from manicule.opening import open_connection

RESUME_WAIT_S: Final = 30.0
"""How long an answer that can be taken up again waits for the next connection."""

Token = str | Callable[[], Awaitable[str]] | None


class Link:
    """Keeps one connection to `url`, and what is under way on it.

    Answers that can be resumed move to the next connection; the others end when theirs does.
    """

    def __init__(
        self,
        url: str,
        sender: FeedbackSender,
        environment: Environment,
        *,
        token: Token,
        session_fields: Object,
        wait_s: float,
    ) -> None:
        self._url, self._is_local = socket_address(url)
        self._sender = sender
        self._environment = environment
        self._token = token
        self._session_fields = {k: v for k, v in session_fields.items() if v is not None}
        self._wait_s = wait_s
        self._backoff = Backoff(environment.dice)
        self._current: Connection | None = None
        self._pump: asyncio.Task[None] | None = None
        self._delay_s = 0.0
        self._why: Error = ConnectionLostError("There is no connection yet.")
        self._detached: dict[Answer, asyncio.TimerHandle] = {}
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._usable = asyncio.Event()
        self._needed = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._current is not None

    @property
    def session(self) -> Object:
        """The facts of the session, empty while there is none."""
        return self._current.session if self._current else {}

    async def open(self, *, offline: bool) -> None:
        """Connect; raises `Error` unless `offline`. Keeps connected from here on."""
        self._spawn(self._sender.settle(), "feedback-settle")
        try:
            self._adopt(await self._connect())
        except Error as error:
            if not offline:
                raise
            self._miss(error)
        self._spawn(self._keep(), "keep-connected")

    async def aclose(self) -> None:
        """End all that is under way and close. Raises what a task of ours died of."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        self._sender.disconnected(_client_closed())
        for answer in tuple(self._detached):
            self._give_up(answer, _client_closed())
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def request(self, kind: str, fields: Object) -> Object:
        """Send a request on a connection, waiting for one if need be."""
        return await (await self._ready()).request(kind, fields)

    def ask(self, fields: Object) -> Answer:
        """Ask in the background; errors go to the answer."""
        answer = Answer(self._cancel)
        task = self._spawn(self._ask(answer, fields), "ask")
        task.add_done_callback(
            lambda ended: answer.fail(_client_closed()) if ended.cancelled() else None
        )
        return answer

    async def _ask(self, answer: Answer, fields: Object) -> None:
        try:
            await (await self._ready()).ask(answer, fields)
        except Error as error:
            answer.fail(error)

    async def _cancel(self, answer: Answer) -> None:
        if answer in self._detached:
            self._give_up(answer, ConnectionLostError("Cancelled while there was no connection."))
        for connection in tuple(self._connections):
            if connection.carries(answer):
                await connection.cancel(answer)

    async def _ready(self) -> Connection:
        """Return a connection that takes questions; waits for one."""
        try:
            async with asyncio.timeout(self._wait_s):
                while self._current is None or self._current.is_leaving:
                    self._usable.clear()
                    await self._usable.wait()
        except TimeoutError:
            raise ConnectionLostError(f"There is no connection. {self._why}") from self._why
        return self._current

    async def _keep(self) -> None:
        """Open the next connection whenever one is needed."""
        while True:
            await self._needed.wait()
            self._needed.clear()
            while self._current is None or self._current.is_leaving:
                await self._environment.sleep(self._delay_s)
                try:
                    self._adopt(await self._connect())
                except Error as error:
                    self._miss(error)

    async def _connect(self) -> Connection:
        connection = await open_connection(
            self._url, is_local=self._is_local, feedback=self._sender, on_go_away=self._leave
        )
        self._spawn(self._serve(connection), "socket-read")
        try:
            fields = dict(self._session_fields)
            if self._token is not None:
                given = self._token
                fields["token"] = given if isinstance(given, str) else await given()
            if fields:
                await connection.request("session.update", fields)
        except BaseException:
            await connection.aclose()  # its reader ends with it
            raise
        return connection

    def _adopt(self, connection: Connection) -> None:
        """Make a connection the current one; raises `ConnectionLostError` when it has ended."""
        if connection.end is not None:
            raise lost(connection.end)
        previous, self._current = self._current, connection
        if previous is not None:
            self._spawn(_retire(previous), "connection-retire")
        if self._pump is not None:
            self._pump.cancel()
        self._sender.connected()
        self._pump = self._spawn(self._sender.run(connection.send_frame), "feedback-send")
        self._usable.set()
        detached, self._detached = self._detached, {}
        for answer, timer in detached.items():
            timer.cancel()
            self._spawn(self._resume(connection, answer), "answer-resume")
        if connection.is_leaving:
            self._leave(connection, 0)

    async def _serve(self, connection: Connection) -> None:
        """Read a connection to its end and clear up after it."""
        self._connections.add(connection)
        opened_at = self._environment.clock()
        end = _client_closed()
        try:
            end = await connection.read()
        finally:
            self._connections.discard(connection)
            for answer in connection.release(end):
                self._detach(answer, end)
            if connection is self._current:
                self._current = None
                if self._pump is not None:
                    self._pump.cancel()
                self._backoff.connected(self._environment.clock() - opened_at)
                self._miss(end)
            await connection.aclose()

    async def _resume(self, connection: Connection, answer: Answer) -> None:
        try:
            await connection.resume(answer)
        except Error as error:
            if answer not in self._detached:  # else this connection was lost, too
                answer.fail(ConnectionLostError(f"The answer cannot be taken up again. {error}"))

    def _detach(self, answer: Answer, end: ConnectionLostError) -> None:
        """Keep an answer that can be taken up again for the next connection; end any other."""
        if not answer.is_resumable or answer.is_over:
            answer.fail(lost(end))
            return
        loop = asyncio.get_running_loop()
        self._detached[answer] = loop.call_later(RESUME_WAIT_S, self._give_up, answer, lost(end))

    def _give_up(self, answer: Answer, error: ConnectionLostError) -> None:
        self._detached.pop(answer).cancel()
        answer.fail(error)

    def _leave(self, connection: Connection, time_left_ms: int) -> None:
        """Look for another connection: the server of this one goes away."""
        if connection is self._current:
            notice = ConnectionLostError("The server is going away.")
            self._miss(notice)
            self._delay_s += self._backoff.leave_s(time_left_ms)

    def _miss(self, error: Error) -> None:
        """Note that a connection is needed, and why there is none."""
        self._why = error
        if self._current is None:
            self._sender.disconnected(error)
        self._delay_s = self._backoff.delay_s(error)
        self._needed.set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"manicule-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A task that died of a fault of ours is told when the client is closed, at the latest."""
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)


async def _retire(connection: Connection) -> None:
    """Close a connection when what runs on it has ended."""
    await connection.until_idle()
    await connection.aclose()


def _client_closed() -> ConnectionLostError:
    return ConnectionLostError("The client was closed.")
