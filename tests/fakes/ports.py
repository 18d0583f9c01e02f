"""TCP ports on loopback that stay a test's own, also while nothing of the test listens on them.

A port that is only picked is free again at once: while a server restarts, or where nobody is
meant to listen, the kernel may give it to a server of another test, and whoever connects speaks to
a stranger.
"""

from __future__ import annotations

import socket

HIGHEST_PORT = 55_535
_held: list[socket.socket] = []


def hold_port() -> int:
    """A port that nobody else is given until this process ends; nothing listens on it yet.

    It is bound with SO_REUSEADDR and never listens: whoever names the port and sets that option,
    as servers do, may still listen there, the kernel gives it to nobody who asks for any port, and
    connections are refused. At most `HIGHEST_PORT`: a node of a Redis cluster listens 10,000
    ports higher too.
    """
    while True:
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        if port <= HIGHEST_PORT:
            _held.append(holder)
            return port
        holder.close()
