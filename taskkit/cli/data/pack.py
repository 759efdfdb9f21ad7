"""`taskkit data pack`: the raw examples of a recipe's data as shards, in a folder or an object store."""

from __future__ import annotations

import shlex

import click

from taskkit.batches.entries import parse_size, size_text
from taskkit.cli import Context
from taskkit.cli.bar import bar
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb

LARGEST = 4 * 10**9
"""A shard is made in memory."""


@click.command(name="pack", cls=RecipeVerb, short_help="Write the data of a recipe into shards.")
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option("-o", "--out", required=True, metavar="DIR|URL", help="A new folder, or any URL of fsspec: s3://….")
@click.option("--shard-size", default="64MB", show_default=True, metavar="SIZE", help="The largest size of a shard.")
@click.pass_obj
def command(ours: Context, words: tuple[str, ...], out: str, shard_size: str) -> None:
    """Write the raw examples of a recipe's data into tar files with an index.

    Then `taskkit run RECIPE loader.shards=DIR` trains from these as from the data. The tars are such as WebDataset
    reads. Nothing counts before the index, which is written last: what an interrupted call left is written anew.
    """
    from taskkit.recipe.load import load, split

    size = parse_size(shard_size, "--shard-size")
    if size is None or not 0 < size <= LARGEST:
        raise click.UsageError(f"--shard-size is {shard_size}. Expected a size up to {size_text(LARGEST)}.")
    files, overrides = split(words)
    resolved = load(files, overrides, ours.plugins)
    with loading():
        from taskkit import api
    with bar() as progress:
        index = api.pack(resolved, out, size, progress)
    total = sum(shard.size for shard in index.shards)
    say(f"{len(index.examples):,} examples in {len(index.shards):,} shards, {size_text(total)}: {out}")
    for origin in index.about.spec["origins"]:
        if origin["licence"]:
            say(f"licence of {origin['name']}: {origin['licence']}")
    if getattr(resolved.recipe.data.section, "pseudonymise", False):
        say("names are pseudonyms; what examples say, show or sound like is as it was, and not encrypted")
    say(f"train from them: taskkit run {shlex.join([*words, f'loader.shards={out}'])}")
