"""From a recipe or a checkpoint to a task: data, facts, processor, network, task, in this order and no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from taskkit.contracts.component import Component, load
from taskkit.contracts.data import DataModule
from taskkit.contracts.facts import DataSpec, Fact, Origin, SelfSupervised
from taskkit.contracts.model import Model, Processor
from taskkit.contracts.recipe import Recipe
from taskkit.contracts.task import Task
from taskkit.errors import CheckpointError, PluginError
from taskkit.plugins.compatibility import imported
from taskkit.plugins.discovery import PluginInfo, Plugins
from taskkit.recipe.load import from_plain
from taskkit.runs import checkpoint


@dataclass
class Built:
    """A task ready to be trained or asked, with all that it was made of."""

    recipe: Recipe
    spec: DataSpec
    model: Model
    processor: Processor
    network: nn.Module
    task: Task
    plugins: tuple[PluginInfo, ...]
    origins: tuple[Origin, ...] = ()


def data_module(recipe: Recipe, plugins: Plugins) -> DataModule:
    """The recipe's data module, not yet prepared."""
    component = plugins.find("data", recipe.data_name)
    module: DataModule = implementation(component, plugins)(recipe.data)
    return module


def prepare(data: DataModule, recipe: Recipe, plugins: Plugins) -> DataSpec:
    """Prepare the data and return the facts for the recipe's task; raises PluginError for facts not declared."""
    component, task = plugins.find("data", recipe.data_name), plugins.find("task", recipe.task_name)
    asked: type[Fact] = load(task.targets[0])
    spec = data.prepare(asked)
    if issubclass(asked, SelfSupervised):
        return replace(spec, target=asked())
    for fact, declared in ((spec.input, (component.input,)), (spec.target, component.targets)):
        if f"{type(fact).__module__}:{type(fact).__qualname__}" not in declared:
            raise PluginError(
                f"{component.name}: `prepare` stated {type(fact).__name__}, which its declaration does not. "
                f"One of {', '.join(declared)} was expected; declare it in the plugin's Component."
            )
    if not isinstance(spec.target, asked):
        raise PluginError(
            f"{component.name}: these data state {type(spec.target).__name__}; "
            f"{task.name} needs {asked.__name__}. Check the settings of the data section."
        )
    return spec


def build(recipe: Recipe, data: DataModule, spec: DataSpec, plugins: Plugins) -> Built:
    """Build a new task: fit the processor to the training split and load pretrained weights."""
    model = make_model(recipe, plugins)
    processor = model.processor(spec)
    processor.fit(data.examples("train"))
    network = model.network(spec, processor)
    origins = tuple(model.load_pretrained(network))
    return _built(recipe, spec, model, processor, network, plugins, origins)


def rebuild(saved: checkpoint.Saved, plugins: Plugins) -> Built:
    """Build the task of a checkpoint again, with its weights; raises CheckpointError when they do not fit."""
    recipe = from_plain(saved.recipe, plugins)
    spec = checkpoint.unpack(saved.spec, plugins)
    model = make_model(recipe, plugins)
    processor = model.processor(spec)
    processor.load_state_dict(saved.processor)
    network = model.network(spec, processor)
    try:
        network.load_state_dict(saved.state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{saved.path}: its weights do not fit the network that {recipe.model_name} builds "
            f"({str(error).splitlines()[1].strip()}). {_versions(saved, plugins)}"
        ) from None
    return _built(recipe, spec, model, processor, network, plugins, ())


def make_model(recipe: Recipe, plugins: Plugins) -> Model:
    """The recipe's model, before its network."""
    model: Model = implementation(plugins.find("model", recipe.model_name), plugins)(recipe.model)
    return model


def implementation(component: Component, plugins: Plugins) -> Any:
    """Import the class of a component; raises PluginError with the reason and the owner when that fails."""
    return imported(component, component.implementation, plugins)


def used(recipe: Recipe, plugins: Plugins) -> tuple[PluginInfo, ...]:
    """The plugins that a recipe's components come from."""
    names = (("task", recipe.task_name), ("model", recipe.model_name), ("data", recipe.data_name))
    return tuple(dict.fromkeys(plugins.owner(plugins.find(kind, name)) for kind, name in names))  # type: ignore[arg-type]


def _built(
    recipe: Recipe,
    spec: DataSpec,
    model: Model,
    processor: Processor,
    network: nn.Module,
    plugins: Plugins,
    origins: Iterable[Origin],
) -> Built:
    component = plugins.find("task", recipe.task_name)
    task: Task = implementation(component, plugins)(recipe.task, network, processor, spec)
    return Built(recipe, spec, model, processor, network, task, used(recipe, plugins), tuple(origins))


def _versions(saved: checkpoint.Saved, plugins: Plugins) -> str:
    """What a user can do about versions that differ between a checkpoint and this environment."""
    here = {p.distribution: p.version for p in plugins.plugins}
    other = [p for p in saved.plugins if here.get(p["distribution"]) != p["version"]]
    if not other:
        return "The same plugin versions are installed: the plugin's code has changed since."
    return "Install " + ", ".join(f"{p['distribution']}=={p['version']}" for p in other) + "."
