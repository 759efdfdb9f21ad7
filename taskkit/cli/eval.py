"""`taskkit eval`: score a run's best checkpoint again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal, cast

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.contracts.facts import SPLITS


@click.command(name="eval", short_help="Score a run's best checkpoint again.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[data.KEY=VALUE…]")
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="The split to score.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, run: Path, overrides: tuple[str, ...], split: str, as_json: bool) -> None:
    """Score the best checkpoint of RUN again, on another split or on other data if asked.

    `taskkit eval RUN --split val`, `taskkit eval RUN data.root=other/images`.
    """
    from taskkit.compare.intervals import in_words

    with loading():
        from taskkit.loaded_run import load_run

        loaded = load_run(run, plugins=ours.plugins)
        loaded.built  # noqa: B018 - the network is built now, while it is said what is waited for
    evaluation = loaded.evaluate(cast(Literal["train", "val", "test"], split), overrides)
    metrics, intervals = evaluation.metrics, evaluation.intervals
    if as_json:
        say(
            json.dumps(
                {
                    "run": str(run),
                    "checkpoint": loaded.checkpoint.name,
                    "metrics": metrics,
                    "intervals": {name: asdict(interval) for name, interval in intervals.items()},
                    **evaluation.protocol,
                }
            )
        )
        return
    width = max(map(len, metrics))
    for name, value in metrics.items():
        said = f"  {in_words(intervals[name])}" if name in intervals else ""
        say(f"{name:{width}}  {value:.4f}{said}")
