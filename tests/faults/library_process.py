"""One process of a fleet: asks its library for one manual many times at once, then reports.

Arguments: Redis URL, number of asks, seconds that a load takes. Prints `loading` when its load
begins and, at the end, one JSON line with its statuses and how many loads it made itself.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys

import redis

from server.manuals.documents import Extracted, ManualSource
from server.manuals.library import Library
from server.manuals.sources import Loaded
from server.storage.caches import open_caches


class Index:
    size_bytes = 1000

    def __init__(self, manual):
        pass


class Source:
    def __init__(self, url: str, takes_s: float):
        self.url = url
        self.takes_s = takes_s
        self.loads = 0

    async def load(self, source, etag, on_progress):
        self.loads += 1
        with redis.Redis.from_url(self.url) as counter:
            counter.incr("loads")
        print("loading", flush=True)
        await asyncio.sleep(self.takes_s)
        return Loaded(Extracted(("one", "two")), "v1")


async def main(url: str, asks: int, takes_s: float) -> None:
    source = Source(url, takes_s)
    caches = open_caches(url, text_bytes=10**7, answer_bytes=10**6)
    library = Library(
        loader=source, build_index=Index, caches=caches, max_bytes=10**7, ttl_s=60, stale_s=60
    )
    await caches.start()
    manual = ManualSource(url="https://vendor.example/manual.pdf")
    views = await asyncio.gather(
        *(library.get("x", manual, lambda progress: None) for _ in range(asks))
    )
    statuses = collections.Counter(view.status for view in views)
    texts = {view.prepared.manual.text for view in views if view.prepared}
    await library.aclose()
    await caches.aclose()
    print(json.dumps({"statuses": statuses, "loads": source.loads, "texts": sorted(texts)}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
