"""A node that delivers what the outbox of a store holds, made to be killed.

`webhook_process.py STORE_URL LOAN_MS NAME=URL ...`: prints `ready`, then a line for each result.
"""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from receiver import SECRET

from server.storage.opening import open_store
from server.webhooks.delivering import Deliverer
from server.webhooks.endpoints import Endpoint
from server.webhooks.sending import Sender
from server.webhooks.signing import read_key

RETRY_S = 0.2
"""Short enough for a test; the schedule itself is tested by a clock that is moved."""


async def main(url: str, loan_ms: int, named: list[str]) -> None:
    store = open_store(url, now=time.time)
    await store.open()
    pairs = [one.split("=", 1) for one in named]
    deliverer = Deliverer(
        store.outbox,
        [Endpoint(name, target, (read_key(SECRET),)) for name, target in pairs],
        Sender(allow_http=True, allow_private=True).send,
        loan_ms=loan_ms,
        poll_s=0.05,
        max_attempts=10**6,
        pause_s=lambda attempts, dice: RETRY_S,
        on_result=lambda endpoint, result: print(endpoint, result, flush=True),
    )
    deliverer.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
