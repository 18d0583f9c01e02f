"""A process that writes batches for ever and prints the ids of each once the store has them.

`store_process.py URL SEED BATCH`: ids follow from the seed, so that a second run repeats them.
"""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from judgements import NOW_MS, judgement, uuid7

from server.storage.opening import open_store


async def main(url: str, seed: int, size: int) -> None:
    store = open_store(url, now=time.time)
    await store.open()
    for number in range(seed, seed + 10**9, size):
        ids = [uuid7(NOW_MS, number + n) for n in range(size)]
        await store.write([judgement(event_id=one, comment="x" * 200) for one in ids])
        print(*ids, flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
