"""A process that judges an answer again and again while there is no server, made to be killed.

Reads the final facts of an answer from its input and prints the id of each judgement once it is
queued.
"""

import asyncio
import sys

import msgspec

import manicule
from protocol.events import FinalResponse


async def main(url: str, outbox: str) -> None:
    final = msgspec.json.decode(sys.stdin.readline(), type=FinalResponse)
    async with manicule.connect(url, outbox=outbox, offline=True) as client:
        number = 0
        while True:
            queued = await client.reject(final, comment=str(number))
            number += 1
            sys.stdout.write(f"{queued.event_id}\n")
            sys.stdout.flush()


asyncio.run(main(*sys.argv[1:]))
