"""A fleet on this machine to try things on: `make fleet`, Ctrl-C ends it.

Three nodes behind HAProxy, a Redis as cache, a Redis as log, PostgreSQL; all on 127.0.0.1.
Commands are typed while it runs: kill, restart, roll, add, status.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fakes"))
from fleet import MAX_NODES, Fleet

HELP = """\
  status        which nodes run and which get connections
  kill N        end node N as a crash would
  restart N     drain node N, or start it when it is gone
  roll          restart all nodes, one after the other
  add           one more node
"""


def show(fleet: Fleet) -> None:
    """Print what there is."""
    print(f"door        {fleet.url}/")
    for node in fleet.nodes:
        state = "gone" if node.process is None else "up" if fleet.balanced(node) else "not ready"
        print(f"{node.name:<11} {node.url}/  {state}  log {node.folder / 'log'}")
    print(f"cache       redis-cli -p {fleet.cache.port} --user manicule --pass fleet")
    print(f"log         redis-cli -p {fleet.log.port} --user manicule --pass fleet")
    print(f"store       psql {fleet.store.url}", flush=True)


def obey(fleet: Fleet, line: str) -> None:
    """Do one command."""
    match line.split():
        case ["status"]:
            show(fleet)
        case ["kill", number]:
            fleet.nodes[int(number) - 1].kill()
        case ["restart", number]:
            node = fleet.nodes[int(number) - 1]
            if node.process is not None:
                print(f"{node.name} ended with {node.leave()}", flush=True)
            node.start()
        case ["roll"]:
            print(f"all restarted, exit codes {fleet.roll()}", flush=True)
        case ["add"]:
            print(f"{fleet.add().name} runs", flush=True)
        case []:
            return
        case _:
            print(HELP, flush=True)


def main() -> None:
    """Run until Ctrl-C or the end of the input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3, choices=range(1, MAX_NODES + 1))
    parser.add_argument("--model", default="extractive", help="as MANICULE_MODEL")
    options = parser.parse_args()
    print("Starting ...", flush=True)
    try:
        with Fleet(options.nodes, model=options.model) as fleet:
            show(fleet)
            print(HELP, flush=True)
            for line in sys.stdin:
                try:
                    obey(fleet, line)
                except (IndexError, ValueError, AssertionError) as error:
                    print(error, flush=True)
    except KeyboardInterrupt:
        print("ended")


if __name__ == "__main__":
    main()
