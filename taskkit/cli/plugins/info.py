"""`taskkit plugins info`: what a plugin is, what it declares and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from taskkit.cli import Context
from taskkit.cli.output import say
from taskkit.contracts.component import KINDS
from taskkit.errors import PluginError
from taskkit.plugins import installed
from taskkit.plugins.discovery import choices, discover
from taskkit.plugins.files import named_files
from taskkit.plugins.origin import origin
from taskkit.wording import did_you_mean

if TYPE_CHECKING:
    from taskkit.contracts.component import PluginInfo
    from taskkit.plugins.registry import Plugins


@click.command(name="info", short_help="Say what a plugin is and what it declares.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, name: str, as_json: bool) -> None:
    """Say of the plugin NAME, a distribution or an entry point, what it is, what it declares and what is wrong with it.

    Two distributions may have one entry-point name: then both are told. One that is not allowed is not imported.
    `load_ms` is what importing it took, in a process that has imported what taskkit itself needs.
    """
    files = named_files()
    known = [installed.info_of(entry_point) for entry_point in installed.entry_points()[0]]
    infos = _named(name, [*known, *(file.info for file in files)])
    # Before the others are loaded: what they import too would cost it nothing.
    allow = choices(ours.no_plugins).allow
    alone = {info: discover([info.distribution]) for info in infos if installed.allowed(info, allow)}
    alone |= {file.info: discover([], files=[file]) for file in files if file.info in infos}
    found = [_described(info, ours.plugins, alone.get(info)) for info in infos]
    if as_json:
        say(json.dumps({"plugins": found}, indent=2))
    else:
        say("\n\n".join("\n".join(_lines(each)) for each in found))


def _named(name: str, infos: list[PluginInfo]) -> list[PluginInfo]:
    named = [info for info in infos if installed.normalised(name) in installed.names(info)]
    if not named:
        known = [known for info in infos for known in (info.entry_point, info.distribution)]
        advice = did_you_mean(name, known) or " `taskkit plugins list` shows those that are installed."
        raise PluginError(f"No plugin named {name!r} is installed.{advice}")
    return named


def _described(info: PluginInfo, plugins: Plugins, alone: Plugins | None) -> dict[str, Any]:
    dist = installed.distribution(info)
    problems = [each for each in plugins.problems if each.plugin == info]
    about = {
        "name": info.entry_point,
        "distribution": info.distribution,
        "version": info.version,
        "from": origin(dist) if dist else "",
        "homepage": installed.homepage(dist) if dist else "",
        "licence": installed.licence(dist) if dist else "",
        "allowed": alone is not None,
        "problems": [{"stage": each.stage, "reason": each.reason, "hint": each.hint} for each in problems],
    }
    if alone is None or info not in alone.plugins:
        return about
    loaded, declared = alone.loaded(info), alone.declared(info)
    components = [offer.value for offer in declared if offer.kind in KINDS]
    facts = {fact for each in components for fact in (each.input, *each.targets) if fact}
    return {
        **about,
        "api": loaded.api,
        "load_ms": round(loaded.seconds * 1000, 1),
        "hooks": loaded.hooks,
        "components": [{"kind": each.kind, "name": each.name, "summary": each.summary} for each in components],
        "facts": sorted(facts),
        "recipes": [offer.name for offer in declared if offer.kind == "recipe"],
        "commands": [offer.name for offer in declared if offer.kind == "command"],
    }


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    yield f"{about['distribution']} {about['version']}, plugin {about['name']}"
    for label in ("from", "homepage", "licence"):
        if about[label]:
            yield f"  {label}: {about[label]}"
    if not about["allowed"]:
        yield "  not allowed, so it is not imported, and what it declares is not known"
    if "load_ms" in about:
        yield f"  api: {about['api'] or 'any'}; loaded in {about['load_ms']} ms"
        yield f"  hooks: {', '.join(about['hooks'])}"
        for each in about["components"]:
            yield f"  {each['kind']} {each['name']}: {each['summary']}"
        for label in ("facts", "recipes", "commands"):
            if about[label]:
                yield f"  {label}: {', '.join(about[label])}"
    for problem in about["problems"]:
        yield f"  wrong ({problem['stage']}): {problem['reason']}"
        yield f"    {problem['hint']}"
