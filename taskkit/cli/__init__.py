"""The command line: a group that looks its verbs up lazily, and the one place where errors become words."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskkit.cli.group import LazyGroup
from taskkit.cli.output import printable_logs, say
from taskkit.errors import MachineError, PluginError, TaskkitError, is_full_disk, no_room
from taskkit.keyfile import KEY_FILE
from taskkit.plugins.files import name_files
from taskkit.wording import without_stop

if TYPE_CHECKING:
    from taskkit.plugins.discovery import Plugins

# Each verb is a submodule, imported when it is called; then `list` and `eval` name modules in this file.
VERBS = {
    "run": ("taskkit.cli.run:command", "Check a recipe, prepare its data, train and test."),
    "check": ("taskkit.cli.check:command", "Say everything that is wrong with a recipe, before any work."),
    "bench": ("taskkit.cli.bench:command", "Say how fast a recipe trains, and what makes it faster."),
    "find": ("taskkit.cli.find:command", "Look for a learning rate or a size of batches, by short trainings."),
    "study": ("taskkit.cli.study:command", "Run all recipes, seeds and values that one file names, and compare them."),
    "data": ("taskkit.cli.data:command", "Write a recipe's data into shards."),
    "eval": ("taskkit.cli.eval:command", "Score a run's best checkpoint again."),
    "compare": ("taskkit.cli.compare:command", "Say which runs are better, and which cannot be told apart."),
    "report": ("taskkit.cli.report:command", "Write runs as one HTML file that a person reads."),
    "predict": ("taskkit.cli.predict:command", "Predict for files or lines of text."),
    "export": ("taskkit.cli.export:command", "Hand a run over as a folder: a program or weights, and a model card."),
    "card": ("taskkit.cli.card:command", "Print a model card of a run or an exported folder."),
    "compress": ("taskkit.cli.compress:command", "Make a run's network smaller, and say what that costs."),
    "explain": ("taskkit.cli.explain:command", "Say what answers rest on."),
    "serve": ("taskkit.cli.serve:command", "Answer over HTTP."),
    "verify": ("taskkit.cli.verify:command", "Prove that a run can be resumed, repeated and trusted."),
    "runs": ("taskkit.cli.runs:command", "List runs with their status, score, cost and age."),
    "reproduce": ("taskkit.cli.reproduce:command", "Run a run again and compare the scores."),
    "diff": ("taskkit.cli.diff:command", "Show what differs between two runs."),
    "export-env": ("taskkit.cli.export_env:command", "Write the versions of a run's packages as pins."),
    "list": ("taskkit.cli.list:command", "List recipes, tasks, models, data and plugins."),
    "plugins": ("taskkit.cli.plugins:command", "Look at plugins: which there are, what they bring, what is wrong."),
    "show": ("taskkit.cli.show:command", "Show a component's fields or a resolved recipe."),
    "new": ("taskkit.cli.new:command", "Write a plugin, a copy of a recipe, or a recipe for your data."),
    "doctor": ("taskkit.cli.doctor:command", "Look for what is wrong with this machine and environment."),
    "scrub": ("taskkit.cli.scrub:command", "Remove what runs have of their examples."),
    "cache": ("taskkit.cli.cache:command", "List encoded samples and fetched data, or make room."),
}

MEANT = {
    **dict.fromkeys(("train", "fit", "start"), "run"),
    **dict.fromkeys(("evaluate", "test", "score", "validate"), "eval"),
    **dict.fromkeys(("infer", "ask", "classify", "transcribe"), "predict"),
    **dict.fromkeys(("quantize", "quantise", "prune", "shrink"), "compress"),
    **dict.fromkeys(("attribute", "interpret", "why"), "explain"),
    **dict.fromkeys(("lint", "verify"), "check"),
    **dict.fromkeys(("sweep", "search", "experiment", "grid"), "study"),
    **dict.fromkeys(("benchmark", "profile", "speed"), "bench"),
    **dict.fromkeys(("lr-find", "lr_find", "tune", "scale-batch-size"), "find"),
    **dict.fromkeys(("models", "recipes", "tasks", "ls"), "list"),
    "resume": "run --resume",
}
"""What other tools call the verbs."""

# What a shell reports of a process that SIGINT or SIGPIPE ended.
INTERRUPTED = 130
HUNG_UP = 141


@dataclass
class Context:
    """What every verb gets with `click.pass_obj`."""

    no_plugins: bool = False
    debug: bool = False

    @cached_property
    def plugins(self) -> Plugins:
        """The installed plugins, discovered when a verb first asks."""
        from taskkit.plugins.discovery import from_environment

        return from_environment(self.no_plugins)


class _Group(LazyGroup):
    """The host's verbs, then the plugins'; a verb of the host wins over one of the same name in a plugin."""

    def parse_args(self, ctx: click.Context, args: Sequence[str]) -> Any:
        """Take out the global flags, wherever they stand, since finding a plugin's verb depends on them."""
        end = args.index("--") if "--" in args else len(args)
        ours, files = _without_value(args[:end], "--key-file")
        if files:
            # By the environment, since processes that a run starts need it too, wherever they are started.
            os.environ[KEY_FILE] = str(Path(files[-1]).expanduser().absolute())
        ours, named = _without_value(ours, "--plugin")
        try:
            name_files(named)
        except PluginError as error:
            raise click.UsageError(str(error)) from None
        flags = {flag for flag in ("--no-plugins", "--debug") if flag in ours}
        ctx.obj = Context(no_plugins="--no-plugins" in flags, debug="--debug" in flags)
        return super().parse_args(ctx, [*(arg for arg in ours if arg not in flags), *args[end:]])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all verbs."""
        return [*super().list_commands(ctx), *self._extra_to_show(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        return super().get_command(ctx, cmd_name) or self._extra(ctx).get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and their lines, without importing one of the host."""
        super().format_commands(ctx, formatter)
        if extra := self._extra_to_show(ctx):
            with formatter.section("Verbs of plugins"):
                formatter.write_dl([(name, command.get_short_help_str()) for name, command in extra.items()])

    def suggestion(self, ctx: click.Context, name: str) -> str:
        """Whose verb it would be, what other tools call it, or one that is nearly called so."""
        if clash := ctx.obj.plugins.clash("command", name):
            return f" {clash.reason}. {clash.hint}"
        return f" Did you mean {MEANT[name]!r}?" if name in MEANT else super().suggestion(ctx, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the verb; every error becomes its lines on stderr and an exit code."""
        try:
            with printable_logs():
                result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            say("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _hang_up()
            ctx.exit(HUNG_UP)
        except Exception as error:
            ctx.exit(_explain(error, ctx.obj.debug))
        return result

    def _extra(self, ctx: click.Context) -> dict[str, click.Command]:
        commands = {str(command.name): command for command in ctx.obj.plugins.commands()}
        return {name: command for name, command in commands.items() if name not in self.verbs}

    def _extra_to_show(self, ctx: click.Context) -> dict[str, click.Command]:
        """The same for help, which is there whatever is wrong."""
        try:
            return self._extra(ctx)
        except TaskkitError as error:
            say(error, err=True)
            return {}


def _without_value(args: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The arguments without an option and its value, and the values."""
    rest: list[str] = []
    values: list[str] = []
    words = iter(args)
    for word in words:
        if word == option:
            if (value := next(words, None)) is None:
                raise click.UsageError(f"{option} needs a file.")
            values.append(value)
        elif word.startswith(f"{option}="):
            values.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, values


def _explain(error: Exception, debug: bool) -> int:
    """Print what went wrong and return the exit code."""
    if is_full_disk(error) and not debug:
        error = MachineError(no_room(error))
    if debug:
        say("".join(traceback.format_exception(error)).rstrip(), err=True)
    elif isinstance(error, TaskkitError):
        say(error, err=True)
    else:
        say(f"{type(error).__name__}: {without_stop(str(error))}. Run again with --debug for the traceback.", err=True)
    return error.exit_code if isinstance(error, TaskkitError) else 1


def _hang_up() -> None:
    """Send the rest of stdout nowhere, so that Python does not complain at exit about a reader that left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=_Group, verbs=VERBS, subcommand_metavar="VERB …", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--no-plugins", is_flag=True, expose_value=False, help="Load no plugin; as does TASKKIT_PLUGINS= (empty)."
)
@click.option(
    "--plugin",
    metavar="FILE",
    multiple=True,
    expose_value=False,
    help="A Python file to use as a plugin; may be given several times.",
)
@click.option("--key-file", metavar="FILE", expose_value=False, help="The key of runs that are encrypted.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the whole traceback of an error.")
@click.version_option(package_name="taskkit-ml", prog_name="taskkit", message="%(prog)s %(version)s")
def main() -> None:
    """Train, evaluate, compare and hand over models of any modality from one recipe file."""
