"""What an answer costs each part of a fleet as nodes are added, at the same load for each node.

One machine holds it all: nodes, HAProxy, a log and a cache on Redis, PostgreSQL and the clients. So
processor time is what is measured, not throughput: scaling is linear where the cost of an answer
stays what it is on one node. Nodes share core 0; services and clients have core 1.

`--model` computes from the last result what a thousand nodes need, and `--write` puts that into
docs/scaling.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import Arguments
from benchmarks.fleet_counters import Snapshot, connections_of, family, look
from benchmarks.fleet_load import Tally, begin_load
from benchmarks.harness import ROOT
from benchmarks.lean_sockets import allow_sockets, close_sockets, open_sockets
from benchmarks.results import Cell, Given, Lines, Measure, Result, unless_busy
from benchmarks.scale_model import LONG, SHORT, dense, print_model, write_model
from benchmarks.tables import publish

sys.path.insert(0, str(ROOT / "tests" / "fakes"))
from fleet import Fleet, wait_for

WORDS_PER_S = 50
IDLE_S = 8.0
NODE_CORE, REST_CORE = 0, 1
WIDE = {
    "connections_per_address": "20000",
    "handshakes_per_minute": "1000000",
    "requests_per_minute": "1000000",
    "user_requests_per_minute": "0",
    "max_responses_per_client": "20000",
    "log_level": "warning",
}
LINEAR = 1.15
"""What counts as the same cost: rounds of one size differ by as much on a machine in use."""

COSTS = {
    "node, ms an answer": ("node_s", "answers", 1e3),
    "node, µs a word": ("node_s", "words", 1e6),
    "log, ms an answer": ("log_s", "answers", 1e3),
    "log, µs a word": ("log_s", "words", 1e6),
    "log, commands an answer": ("log_commands", "answers", 1),
    "log keeps, KiB an answer": ("log_bytes", "answers", 1 / 1024),
    "log takes in, KiB an answer": ("log_in", "answers", 1 / 1024),
    "cache, ms an answer": ("cache_s", "answers", 1e3),
    "cache, commands an answer": ("cache_commands", "answers", 1),
    "cache gives out, KiB an answer": ("cache_out", "answers", 1 / 1024),
    "balancer, µs a frame": ("balancer_s", "frames", 1e6),
    "frames an answer": ("frames", "answers", 1),
    "store, ms an answer": ("store_s", "answers", 1e3),
    "store, transactions an answer": ("commits", "answers", 1),
}
"""Name of a cost: the counter, for how many of what, and the factor into its unit."""

IDLE = {
    "idle node, ms a second": ("node_s", 1e3),
    "idle node to log, commands a second": ("log_commands", 1),
    "idle node to cache, commands a second": ("cache_commands", 1),
    "idle node to store, transactions a second": ("commits", 1),
}


def pin(fleet: Fleet) -> None:
    """Nodes on one core, everything else on the other."""
    for node in fleet.nodes:
        assert node.process is not None
        for thread in Path(f"/proc/{node.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {NODE_CORE})
    os.sched_setaffinity(0, {REST_CORE})
    for process in (fleet.log.process, fleet.cache.process, fleet.store.process, fleet.balancer):
        assert process is not None
        for child in family(process.pid):
            os.sched_setaffinity(child, {REST_CORE})


def wait_for_balancer(fleet: Fleet) -> None:
    """Wait until it has found that the places of nodes that were not started are empty."""

    def counted() -> bool:
        rows = [line.split(",") for line in fleet.ask("show stat").splitlines()]
        up = [row for row in rows if row[0] == "nodes" and row[1] != "BACKEND" and row[17] == "UP"]
        return len(up) == len(fleet.nodes)

    wait_for(counted, "the balancer's view of the nodes")


async def measure(
    fleet: Fleet, per_node: int, words: int, seconds: float, rounds: int
) -> tuple[Snapshot, list[Snapshot], dict[str, float]]:
    """Return what the idle fleet used, with sockets open, what each round of load did, and the
    connections of a node under load.
    """
    number, answer_s = per_node * len(fleet.nodes), words / WORDS_PER_S
    url = fleet.url.replace("http", "ws", 1) + "/ws"
    idle_sockets = await open_sockets(url, number)
    await asyncio.sleep(2.0)
    before = await look(fleet, Tally())
    await asyncio.sleep(IDLE_S)
    idle = (await look(fleet, Tally())).since(before)
    await close_sockets(idle_sockets)
    tally, sockets = await begin_load(url, number, answer_s)
    await asyncio.sleep(answer_s)
    found = []
    for _ in range(rounds):
        before = await look(fleet, tally)
        await asyncio.sleep(seconds)
        found.append((await look(fleet, tally)).since(before))
    if tally.faults:
        raise SystemExit(f"{tally.faults} faults under a load that should fit: {tally.fault}")
    held = await connections_of(fleet)
    await close_sockets(list(sockets))
    return idle, found, held


def add_rows(
    result: Result, nodes: int, group: str, idle: Snapshot, rounds: Sequence[Snapshot]
) -> None:
    """Add what an answer costs each part. Costs are whole: a part's idle share is in them."""
    share = max(one.own_s / one.at for one in rounds)
    for label, (attribute, per, factor) in COSTS.items():
        rates = [getattr(one, attribute) / getattr(one, per) * factor for one in rounds]
        add_row(result, label, nodes, group, unless_busy(rates, share))
    for label, (attribute, factor) in IDLE.items():
        rate = getattr(idle, attribute) / idle.at / nodes * factor
        add_row(result, label, nodes, group, rate)
    answers = [one.answers / one.at / nodes for one in rounds]
    acks = [one.acks / one.at for one in rounds]
    add_row(result, "answers a second of a node", nodes, group, answers)
    add_row(result, "judgements committed a second", nodes, group, acks)
    add_row(result, "clients, share of a core", nodes, group, share)


def add_row(result: Result, label: str, nodes: int, group: str, cost: Given) -> None:
    """Add one row, and what it is to that of one node."""
    row = result.add(label, group=group, x=nodes, cost=cost)
    alone = result.find(label, group, 1)
    mine, one = row.cells["cost"].spread, alone and alone.cells["cost"].spread
    if mine is not None and one is not None and one.median > 0:
        row.cells["relative"] = Cell(tuple(each / one.median for each in row.cells["cost"].rounds))


def new_result(options: argparse.Namespace) -> Result:
    """Return the empty result."""
    result = Result(
        "scale_out",
        "A fleet on one machine: what an answer costs each part",
        "Does an answer cost the same whatever the number of nodes?",
        [Measure("cost", "cost"), Measure("relative", "to one node")],
        x="nodes",
        quick=options.quick,
    )
    result.notes.append(
        f"{options.per_node} answers at once for each node, dense {options.dense}; {WORDS_PER_S} "
        "words/s; each answer judged and that committed; HAProxy, one log, one cache, PostgreSQL. "
        "All on one machine, so that processor time is compared and not throughput."
    )
    parts = tuple(f"{part}, ms an answer" for part in ("node", "log", "cache", "store"))
    result.plots.append(Lines("relative", groups=f"{LONG} words", labels=parts))
    for label in ("node, ms an answer", "log, ms an answer", "store, ms an answer"):
        for nodes in options.nodes[1:]:
            group = f"{LONG} words"
            name = f"{label.partition(',')[0]}: an answer with {nodes} nodes to one with 1 node"
            result.figure(name, label, "relative", group=group, x=nodes, at_most=LINEAR)
    return result


async def run(result: Result, options: argparse.Namespace) -> None:
    """Measure each size of fleet, then one node at a load of use with answers of both lengths."""
    plan = [(nodes, LONG, options.per_node, f"{LONG} words") for nodes in options.nodes]
    plan += [(1, words, options.dense, dense(words)) for words in (SHORT, LONG)]
    for nodes, words, at_once, group in plan:
        script = json.dumps([{"tokens": words, "rate_per_s": WORDS_PER_S}])
        with Fleet(nodes, model=f"scripted:{script}", **WIDE) as fleet:
            wait_for_balancer(fleet)
            pin(fleet)
            idle, rounds, held = await measure(
                fleet, at_once, words, options.seconds, options.rounds
            )
        add_rows(result, nodes, group, idle, rounds)
        for service, number in held.items():
            add_row(result, f"connections of a node to the {service}", nodes, group, number)


def main() -> None:
    arguments = Arguments("scale_out", __doc__)
    arguments.size("--nodes", [1, 2, 4], [1, 2], "sizes of the fleet; the first is compared with")
    arguments.size("--per-node", 16, 8, "answers at once for each node: four fit on one core")
    arguments.size("--dense", 100, 40, "answers at once on one node, for the model")
    arguments.size("--seconds", 16.0, 8.0, "of one round")
    arguments.size("--rounds", 3, 1, "for each size")
    arguments.add_argument("--model", action="store_true", help="only compute from the last result")
    arguments.add_argument("--write", action="store_true", help="write the model into the docs")
    options = arguments.parse_args()
    if options.model or options.write:
        (write_model if options.write else print_model)(quick=options.quick)
        return
    allow_sockets(2 * max(options.dense, options.per_node * max(options.nodes)))
    result = new_result(options)
    asyncio.run(run(result, options))
    publish(result)


if __name__ == "__main__":
    main()
