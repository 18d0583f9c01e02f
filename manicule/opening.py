"""Opening a socket, and what it means when that fails."""

from __future__ import annotations

from typing import Final

from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from manicule.connection import Connection, FeedbackEnd, OnGoAway
from manicule.errors import CannotConnectError

SUBPROTOCOL: Final = "manicule.v1"
OPEN_TIMEOUT_S: Final = 10.0
MAX_FRAME_BYTES: Final = 8 * 2**20
"""The largest event is a final response, some hundred kilobytes; more is not this protocol."""


async def open_connection(
    url: str, *, is_local: bool, feedback: FeedbackEnd, on_go_away: OnGoAway
) -> Connection:
    """Open a socket and wait for its session.

    Raises `CannotConnectError`, and `ConnectionLostError` when what came is no event.
    """
    try:
        socket = await open_socket(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=1,
            max_size=MAX_FRAME_BYTES,
            compression=None,
            proxy=None if is_local else True,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        is_busy = status in (429, 503)
        remedy = "It is full or about to stop; try again." if is_busy else "Check the address."
        raise CannotConnectError(
            f"Cannot connect to {url}: it answered {status}. {remedy}", retryable=is_busy
        ) from error
    except (ImportError, OSError, TimeoutError, WebSocketException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CannotConnectError(
            f"Cannot connect to {url}: {reason}. Is the server running? Start it with: "
            "manicule serve"
        ) from error
    connection = Connection(socket, feedback, on_go_away)
    try:
        await connection.greet()
    except BaseException:
        await socket.close()
        raise
    return connection
