"""`taskkit confused RUN`: which classes a run takes for which. Imported with the plugin, so it imports no torch."""

from collections import Counter
from pathlib import Path

import click


@click.command(name="confused", short_help="Say which classes a run takes for which.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--most", type=click.IntRange(min=1), default=5, show_default=True, help="So many pairs of classes.")
def confused(run: Path, most: int) -> None:
    """Say which classes a run takes for which, the commonest mistake first."""
    from taskkit import load_run

    rows = load_run(run).predictions().to_pylist()
    wrong = Counter((row["target"], row["prediction"]) for row in rows if row["target"] != row["prediction"])
    for (target, prediction), count in wrong.most_common(most):
        click.echo(f"{count}\t{target} taken for {prediction}")
