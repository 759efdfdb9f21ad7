"""From a recipe or a checkpoint to a task: data, facts, processor, network, task, in this order and no other."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from taskkit.batches.encode import has_own_drawable, view_of
from taskkit.contracts.component import Chosen, Component, PluginInfo, load
from taskkit.contracts.data import Batch, DataModule, Prepared, Stream
from taskkit.contracts.facts import DataSpec, Example, Fact, Origin, SelfSupervised, Split, is_flag
from taskkit.contracts.model import Model, Processor
from taskkit.contracts.recipe import Recipe
from taskkit.contracts.task import Task
from taskkit.data.folds import cut
from taskkit.data.splits import share_of
from taskkit.engine import sharded
from taskkit.engine.blocks import called_blocks, counts_batches
from taskkit.engine.guard import calling, returned
from taskkit.errors import CheckpointError, RunFailedError, TaskkitError
from taskkit.plugins.compatibility import imported
from taskkit.runs import checkpoint, packing
from taskkit.wording import TELL_AUTHORS

HEAD = 10_000
"""Examples of a stream that are looked at where a split as a whole is wanted: to fit a processor, for a baseline."""

_FORM = re.compile(r"(\w+) \(([^)]*)\)")


@dataclass(frozen=True)
class Built:
    """A task ready to be trained or asked, with all that it was made of."""

    recipe: Recipe
    spec: DataSpec
    model: Model
    processor: Processor
    network: nn.Module
    task: Task
    origins: tuple[Origin, ...] = ()
    """Where pretrained weights came from."""

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """The plugins that the recipe's components come from."""
        return tuple(dict.fromkeys(chosen.plugin for chosen in self.recipe.chosen().values()))


def data_module(recipe: Recipe) -> DataModule:
    """The recipe's data module, not yet prepared."""
    module: DataModule = _made(recipe.data, DataModule, recipe.data.section)
    return module


def judged_by(recipe: Recipe) -> type[Fact]:
    """The fact that the recipe's task judges."""
    task = recipe.task
    judged: type[Fact] = imported(task.component, task.component.targets[0], task.plugin)
    return judged


def fetched(module: DataModule, recipe: Recipe) -> Prepared:
    """What the recipe's data module prepares by itself for the recipe's task."""
    with calling(recipe.data, "prepare"):
        return returned(recipe.data, "prepare", module.prepare(judged_by(recipe)), Prepared)


def prepare(module: DataModule, recipe: Recipe, components: Iterable[Component] | None = None) -> Prepared:
    """Prepare the data for the recipe's task; raises RunFailedError for facts that cannot be kept, TaskkitError for
    others than the task judges.

    Where the data are to be trained on, `components` are all that are installed: every fact must be found by them.
    """
    data, task, judged = recipe.data, recipe.task, judged_by(recipe)
    if recipe.loader.shards is None:
        prepared = fetched(module, recipe)
    else:
        prepared = sharded.prepare(recipe, module, judged, components or [data.component, task.component])
    if issubclass(judged, SelfSupervised):
        prepared = replace(prepared, spec=replace(prepared.spec, target=judged()))
    spec = prepared.spec
    _check_declared(data, spec.input, (data.component.input,))
    if not issubclass(judged, SelfSupervised):
        _check_declared(data, spec.target, data.component.targets)
    if not isinstance(spec.target, judged):
        raise TaskkitError(
            f"{data.name}: these data state {type(spec.target).__name__}; {task.name} needs {judged.__name__}. Check "
            "the settings of the data section."
        )
    for fact in (spec.input, spec.target):
        checkpoint.check_facts(f"{data.name} ({data.plugin})", fact)
    if components is not None:
        _check_found(data, spec, packing.declared_facts(components))
    return _shared(_folded(prepared, recipe), recipe)


def _folded(prepared: Prepared, recipe: Recipe) -> Prepared:
    """The same data cut anew into the folds that the recipe wants."""
    folds = recipe.loader.folds
    if folds is None:
        return prepared
    splits = {split: part for split, part in prepared.splits.items() if not isinstance(part, Stream)}
    if len(splits) < len(prepared.splits):
        raise TaskkitError(
            f"loader.folds is {folds}, but a split of {recipe.data.name} is a stream, whose examples nobody counted. "
            "Set it to null."
        )
    validated = recipe.trainer.limit_val_batches != 0
    spec, made = cut(prepared.spec, splits, folds, recipe.loader.fold, validated=validated, name=recipe.data.name)
    return replace(prepared, spec=spec, splits=made)


def _shared(prepared: Prepared, recipe: Recipe) -> Prepared:
    """The same data with the share of training examples that the recipe wants."""
    share, train = recipe.loader.fraction, prepared.examples("train")
    if share == 1:
        return prepared
    if isinstance(train, Stream):
        raise TaskkitError(
            f"loader.fraction is {share:g}, but the training split of {recipe.data.name} is a stream, which has no "
            "share that could be counted. Set it to 1, and let trainer.max_steps say how much is read."
        )
    return replace(prepared, splits={**prepared.splits, "train": share_of(train, share)})


def build(recipe: Recipe, prepared: Prepared) -> Built:
    """Build a new task: fit the processor to the training split and load pretrained weights."""
    spec, train = prepared.spec, head(prepared, "train")
    model, processor = _model(recipe, spec)
    with calling(recipe.model, "Processor.fit"):
        processor.fit(train)
    _check_state(recipe.model, model, processor, spec)
    network = _network(recipe, model, spec, processor)
    with calling(recipe.model, "load_pretrained"):
        origins = tuple(model.load_pretrained(network, processor))
    task = _task(recipe, network, processor, spec)
    if recipe.activation_checkpointing:
        _check_recomputable(recipe, called_blocks(network, model.blocks(network)))
    if len(train):
        check_tensors(recipe, spec, processor, train[0])
    return Built(recipe, spec, model, processor, network, task, origins)


def rebuild(saved: checkpoint.Saved, recipe: Recipe, components: Iterable[Component]) -> Built:
    """Build the task of a checkpoint again, with its weights; raises CheckpointError when they do not fit.

    `recipe` is that of the checkpoint, and `components` are all that are installed.
    """
    built = untrained(recipe, packing.unpack(saved.spec, packing.declared_facts(components)), saved.processor)
    try:
        built.task.load_state_dict(saved.state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise CheckpointError(
            f"{saved.path}: its weights do not fit the network that {recipe.model.name} builds "
            f"({lines[min(1, len(lines) - 1)].strip()}). {_versions(saved, recipe)}"
        ) from None
    conclusion = saved.path.with_name(checkpoint.CONCLUSION)
    if conclusion.exists():
        built.task.load_conclusion(checkpoint.load_safely(conclusion))
    return built


def untrained(recipe: Recipe, spec: DataSpec, processor_state: Mapping[str, Any]) -> Built:
    """Build a task by what its processor learnt, with a network as it is before training."""
    model, processor = _model(recipe, spec)
    with calling(recipe.model, "Processor.load_state_dict"):
        processor.load_state_dict(processor_state)
    network = _network(recipe, model, spec, processor)
    return Built(recipe, spec, model, processor, network, _task(recipe, network, processor, spec))


def head(prepared: Prepared, split: Split) -> Sequence[Example]:
    """The examples of a split; of a stream the first ones."""
    examples = prepared.examples(split)
    return list(islice(examples.read(0, 0), HEAD)) if isinstance(examples, Stream) else examples


def check_tensors(recipe: Recipe, spec: DataSpec, processor: Processor, example: Example) -> None:
    """Make a batch of one example and raise RunFailedError where it is not as the facts promise others, or not the same
    again."""
    model = recipe.model
    with calling(model, "Processor.encode"):
        samples, again = processor.encode(example), processor.encode(example)
    if not same(samples, again):
        raise RunFailedError(
            f"{model.name} ({model.plugin}): `encode` made something else of the same example when called again. The "
            "same samples were expected, since they are kept. Draw random views in `draw`, by its `random`."
        )
    if not samples:
        return
    with calling(model, "Processor.collate"):
        batch = processor.collate(
            [{name: value for name, value in sample.items() if not is_flag(name)} for sample in samples[:1]]
        )
    _check_forms(model, spec, batch, "encode")
    if has_own_drawable(processor):
        with calling(model, "Processor.drawable"):
            kept = processor.drawable(example)
        with calling(model, "Processor.draw"):
            views = [view_of(sample, processor, torch.Generator(), partial(str, example.id)) for sample in kept[:1]]
        with calling(model, "Processor.collate"):
            batch = processor.collate(views)
        _check_forms(model, spec, batch, "draw")


def _check_forms(model: Chosen, spec: DataSpec, batch: Batch, method: str) -> None:
    """Raise RunFailedError where a batch of what a method made is not as the facts promise others."""
    for fact in (spec.input, spec.target):
        for name, form in fact.tensors().items():
            if (given := batch.get(name)) is None or not _has_form(given, form):
                raise RunFailedError(
                    f"{model.name} ({model.plugin}): its processor makes {_described(batch)}. Data that state "
                    f"{type(fact).__name__} are distorted and judged as `{name}`: {form}. Make that in `{method}` and "
                    "`collate`."
                )


def _described(batch: Mapping[str, Tensor]) -> str:
    return ", ".join(
        f"`{name}`: {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" for name, tensor in batch.items()
    )


def _has_form(tensor: Tensor, form: str) -> bool:
    """Whether a tensor is as `uint8 (batch, 3, height, width)` says."""
    match = _FORM.fullmatch(form)
    if match is None:
        return False
    kind, axes = match[1], [axis.strip() for axis in match[2].split(",") if axis.strip()]
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    right = {"float": tensor.is_floating_point(), "int": whole}.get(kind, str(tensor.dtype) == f"torch.{kind}")
    sizes = zip(axes, tensor.shape, strict=False)
    return right and len(axes) == tensor.ndim and all(not axis.isdecimal() or int(axis) == size for axis, size in sizes)


def _check_declared(data: Chosen, fact: Fact, declared: Sequence[str]) -> None:
    """Raise RunFailedError for a fact that a data module states and its component does not declare."""
    if type(fact) not in [load(reference) for reference in declared if reference]:
        raise RunFailedError(
            f"{data.name} ({data.plugin}): `prepare` stated {type(fact).__name__}, which its declaration does not. "
            f"One of {', '.join(declared)} was expected; declare it in the plugin's Component."
        )


def _check_found(data: Chosen, spec: DataSpec, find: packing.FindFact) -> None:
    """Raise RunFailedError for a fact inside a Record by which a run could not be read back."""
    for reference in packing.references(spec):
        try:
            find(reference)
        except CheckpointError:
            raise RunFailedError(
                f"{data.name} ({data.plugin}): `prepare` stated {reference} inside a Record. A fact that a component "
                "declares was expected, or one that stands in the same module. Move it there, or declare it."
            ) from None


def _made(chosen: Chosen, kind: type[Any], *arguments: Any) -> Any:
    """An object of a component's class; raises RunFailedError when that is of another kind, or abstract."""
    implementation = imported(chosen.component, chosen.component.implementation, chosen.plugin)
    if not (isinstance(implementation, type) and issubclass(implementation, kind)):
        raise RunFailedError(
            f"{chosen.name} ({chosen.plugin}): {chosen.component.implementation} is not a taskkit.{kind.__name__}. "
            f"{TELL_AUTHORS}"
        )
    if missing := sorted(getattr(implementation, "__abstractmethods__", ())):
        raise RunFailedError(
            f"{chosen.name} ({chosen.plugin}): {implementation.__name__} has no `{'`, `'.join(missing)}`, which every "
            f"{kind.__name__} writes. {TELL_AUTHORS}"
        )
    with calling(chosen, "__init__"):
        return implementation(*arguments)


def _model(recipe: Recipe, spec: DataSpec) -> tuple[Model, Processor]:
    model: Model = _made(recipe.model, Model, recipe.model.section)
    with calling(recipe.model, "processor"):
        return model, returned(recipe.model, "processor", model.processor(spec), Processor)


def _network(recipe: Recipe, model: Model, spec: DataSpec, processor: Processor) -> nn.Module:
    with calling(recipe.model, "network"):
        network: nn.Module = returned(recipe.model, "network", model.network(spec, processor), nn.Module)
    if recipe.channels_last:
        _put_channels_last(recipe, network)
    return network


def _put_channels_last(recipe: Recipe, network: nn.Module) -> None:
    """Raises TaskkitError where that does nothing. What a convolution gives has the order of its weights."""
    if not any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in network.modules()):
        raise TaskkitError(
            f"channels_last is true, and the network of {recipe.model.name} has no 2-d convolution, so nothing would "
            "be faster. Expected a network that has some. Leave channels_last out."
        )
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)


def _check_recomputable(recipe: Recipe, blocks: Sequence[nn.Module]) -> None:
    """Raise TaskkitError where the blocks of a network cannot be computed twice, or nobody knows them."""
    fault = "does not say what the blocks of its network are" if not blocks else ""
    if any(map(counts_batches, blocks)):
        fault = "has norms that keep statistics of batches, and would count each batch twice"
    if fault:
        raise TaskkitError(
            f"activation_checkpointing is true, and {recipe.model.name} {fault}. A model of blocks that can be "
            "computed again was expected. Set it to false; trainer.accumulate_grad_batches with a smaller "
            "loader.batch_size takes less memory too."
        )


def _task(recipe: Recipe, network: nn.Module, processor: Processor, spec: DataSpec) -> Task:
    task: Task = _made(recipe.task, Task, recipe.task.section, network, processor, spec)
    if not hasattr(task, "headline"):
        raise RunFailedError(
            f"{recipe.task.name} ({recipe.task.plugin}): it has no `headline`, the metric that a run is judged by. "
            'Write `headline = Headline("accuracy", "max")`.'
        )
    return task


def _check_state(owner: Chosen, model: Model, processor: Processor, spec: DataSpec) -> None:
    """Raise RunFailedError, before the first step, when a run of this processor could not be
    read back after the last."""
    with calling(owner, "Processor.state_dict"):
        state = dict(processor.state_dict())
    checkpoint.check_plain(f"{owner.name} ({owner.plugin}): `Processor.state_dict`", state)
    buffer = io.BytesIO()
    torch.save({"spec": packing.pack(spec), "state": state}, buffer)
    buffer.seek(0)
    read = checkpoint.load_safely(buffer)
    with calling(owner, "Processor.load_state_dict"):
        again = model.processor(packing.unpack(read["spec"], packing.stated_facts(spec)))
        again.load_state_dict(read["state"])
        lost = sorted(name for name, value in state.items() if not same(dict(again.state_dict()).get(name), value))
    if lost:
        raise RunFailedError(
            f"{owner.name} ({owner.plugin}): `Processor.load_state_dict` does not take back {', '.join(lost)}, which "
            f"`state_dict` gave. A run could not be asked once it ended. {TELL_AUTHORS}"
        )


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are alike, the tensors in them too; what is not a number is like itself."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        if not (isinstance(one, Tensor) and isinstance(other, Tensor)) or one.shape != other.shape:
            return False
        return bool(((one == other) | ((one != one) & (other != other))).all())  # NaN is unlike itself.
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def _versions(saved: checkpoint.Saved, recipe: Recipe) -> str:
    """What a user can do about versions that differ between a checkpoint and this environment."""
    here = {chosen.plugin.distribution: chosen.plugin.version for chosen in recipe.chosen().values()}
    other = [p for p in saved.plugins if here.get(p["distribution"]) != p["version"]]
    if not other:
        return "The same plugin versions are installed: the plugin's code has changed since."
    if files := [p["distribution"] for p in other if p["distribution"].endswith(".py")]:
        return f"{' and '.join(files)} had other content when the run was made: name the file of then by --plugin."
    return "Install " + ", ".join(f"{p['distribution']}=={p['version']}" for p in other) + "."
