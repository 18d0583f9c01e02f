"""How often the event loop has gone round."""

import asyncio


class Iterations:
    """Counts the iterations of the loop."""

    def __init__(self):
        self.number = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._count)

    def _count(self):
        self.number += 1
        self._handle = self._loop.call_soon(self._count)

    def close(self):
        self._handle.cancel()
