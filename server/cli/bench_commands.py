"""`manicule bench load`: put a load on a server and see what comes of it."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.options import DEFAULT_URL, USAGE, Json, KeyFile, Url, fail, read_key

bench_app = typer.Typer(no_args_is_help=True, help="Measure a running server.")


@bench_app.callback()
def bench() -> None:
    """Measure a running server."""


@bench_app.command()
def load(
    url: Url = DEFAULT_URL,
    product: Annotated[
        list[str] | None, typer.Option(help="Ids to ask about; the catalog's first when left out.")
    ] = None,
    question: Annotated[list[str] | None, typer.Option(help="Questions to ask, in turn.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="Sockets.")] = 50,
    rate: Annotated[float, typer.Option(min=0.01, help="Questions a second.")] = 5.0,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 30.0,
    feedback: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the answers that is judged.")
    ] = 0.0,
    slow_readers: Annotated[
        int, typer.Option(min=0, help="Further sockets that ask and read nothing.")
    ] = 0,
    reconnect_every: Annotated[
        float, typer.Option(min=0, help="Cut one socket so often, in seconds, and resume.")
    ] = 0.0,
    words_per_s: Annotated[
        float, typer.Option(min=0, help="The model's rate, if known: for the lateness of deltas.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same load.")] = 1,
    json: Json = False,
    key_file: KeyFile = None,
) -> None:
    """Put a load on a server and print what came of it.

    Questions come when they are due, whether or not the server keeps up, and count from then. Each
    is a question of its own, so nothing comes from the cache of answers: with a paid model behind
    it, this costs what so many answers cost.

    Exit codes: 0 measured, 1 no measurement (the reason is printed), 2 usage, 3 cannot connect.

    Example:

    - `manicule bench load --rate 20 --duration 60 --connections 200`
    """
    from manicule.load import LoadPlan
    from server.cli.benching import QUESTIONS, run_load

    try:
        plan = LoadPlan(
            url=url,
            products=tuple(product or ()),
            questions=tuple(question or QUESTIONS),
            connections=connections,
            questions_per_s=rate,
            duration_s=duration,
            feedback_share=feedback,
            slow_readers=slow_readers,
            reconnect_every_s=reconnect_every,
            words_per_s=words_per_s,
            token=read_key(key_file),
            seed=seed,
        )
    except ValueError as error:
        fail((str(error),), USAGE)
    raise typer.Exit(run_load(plan, as_json=json))
