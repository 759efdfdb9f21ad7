"""Judging a split: each metric takes from a step what it names, and all processes together make one number."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.distributed import all_gather_object, get_world_size, is_available, is_initialized
from torchmetrics import Metric

from taskkit.compare import declared
from taskkit.contracts.component import Chosen
from taskkit.contracts.statistics import NoInterval, Statistic
from taskkit.contracts.task import Results, Step, Task
from taskkit.engine.guard import calling, returned
from taskkit.errors import RunFailedError
from taskkit.wording import TELL_AUTHORS


class Judge(nn.Module):
    """The metrics of a task over one split, and the mean loss where the steps have one."""

    total: Tensor
    weight: Tensor

    def __init__(self, task: Task, owner: Chosen) -> None:
        super().__init__()
        self.owner = owner
        self.headline = task.headline.metric
        with calling(owner, "metrics"):
            metrics = dict(returned(owner, "metrics", task.metrics(), Mapping))
        for name, metric in metrics.items():
            returned(owner, f"metrics()[{name!r}]", metric, Metric)
        if task.headline.metric not in metrics:
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): its headline {task.headline.metric!r} is not one of its metrics "
                f"({', '.join(metrics)}). Name one of them in `headline`, or add it in `metrics()`."
            )
        self.names = {f"metric_{number}": name for number, name in enumerate(metrics)}  # a module's name has no dots
        self.metrics = nn.ModuleDict({f"metric_{number}": metric for number, metric in enumerate(metrics.values())})
        for metric in _parts(self.metrics):
            if _has_lists(metric):
                # Processes with lists of other lengths would wait for each other for ever, or read another's sizes.
                metric.sync_on_compute = metric._to_sync = False
        self.register_buffer("total", torch.zeros(()), persistent=False)
        self.register_buffer("weight", torch.zeros(()), persistent=False)

    def update(self, step: Step) -> None:
        """Add what a step scored, and its loss."""
        for key, metric in self.metrics.items():
            name = self.names[key]
            with calling(self.owner, f"metrics()[{name!r}].update"):
                metric.update(**self._arguments(name, metric, step.scored))  # type: ignore[operator]
        if step.loss is not None:
            count = torch.as_tensor(step.count, device=self.total.device, dtype=self.total.dtype)
            self.total += step.loss.detach().to(self.total.dtype) * count
            self.weight += count

    def compute(self) -> Results:
        """What all processes together came to; `loss` is there if any step had one.

        Raises RunFailedError when the headline is not one number.
        """
        results: dict[str, Tensor] = {}
        total, weight = _summed(self.total), _summed(self.weight)
        if float(weight):
            results["loss"] = total / weight
        for key, metric in self.metrics.items():
            name = self.names[key]
            assert isinstance(metric, Metric)
            with calling(self.owner, f"metrics()[{name!r}].compute"):
                for part in _parts(metric):
                    if _has_lists(part):
                        _gather_states(part)
                value = metric.compute()
            results |= _named(name, value)
        found = {name: torch.as_tensor(value) for name, value in results.items()}
        if self.headline not in numbers(found):
            raise RunFailedError(
                f"{self.owner.name} ({self.owner.plugin}): its headline {self.headline!r} is not one number. Its "
                f"metrics give {', '.join(numbers(found))}: name one of these in `headline`."
            )
        return found

    def reset(self) -> None:
        """Forget the split, for the next one."""
        for metric in self.metrics.values():
            metric.reset()  # type: ignore[operator]
        self.total.zero_()
        self.weight.zero_()

    def _arguments(self, name: str, metric: nn.Module, scored: Mapping[str, Any]) -> Mapping[str, Any]:
        own = scored.get(name)
        given = (
            own
            if isinstance(own, Mapping)
            else {k: v for k, v in scored.items() if not isinstance(v, Mapping)}
            | {k: v for k, v in scored.items() if isinstance(v, Mapping) and k not in self.names.values()}
        )
        assert isinstance(metric, Metric)
        wanted = inspect.signature(type(metric).update).parameters
        if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in wanted.values()):
            return given
        needed = [
            each.name
            for each in list(wanted.values())[1:]
            if each.default is inspect.Parameter.empty and each.kind is not inspect.Parameter.VAR_POSITIONAL
        ]
        if lacking := [each for each in needed if each not in given]:
            raise RunFailedError(
                f"{self.owner.name} ({self.owner.plugin}): the metric {name!r} takes {', '.join(needed)}; `step` "
                f"scored {', '.join(given) or 'nothing'}. Give Step(scored=…) an entry {lacking[0]!r}, or one under "
                f"{name!r} with the arguments of that metric alone."
            )
        return {each: given[each] for each in wanted if each in given}


def statistics_of(task: Task, owner: Chosen) -> Mapping[str, Statistic | NoInterval]:
    """How the task's metrics follow from rows; raises RunFailedError for what could not be found again from
    run.json."""
    with calling(owner, "statistics"):
        statistics = dict(returned(owner, "statistics", task.statistics(), Mapping))
        metrics = [*task.metrics(), "loss"]
    for name, statistic in statistics.items():
        if not isinstance(statistic, Statistic | NoInterval):
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): `statistics` gave a {type(statistic).__name__} for {name!r}. A "
                f"taskkit.Mean, Ratio, Of, Gaps or NoInterval was expected. {TELL_AUTHORS}"
            )
        if not any(f"{name}_".startswith(f"{metric}_") for metric in metrics):
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): its statistics name {name!r}, which is none of its metrics "
                f"({', '.join(metrics)}). Name one of them."
            )
        if lost := declared.undeclared(statistic, owner.component.statistics):
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): the statistic {name!r} is of {lost}, which its component does not "
                f"declare, so that runs could not be compared. Write a function in a module without torch, and "
                f"Component(statistics=({lost!r},))."
            )
    return statistics


def _named(name: str, value: Any) -> dict[str, Any]:
    """Several values of one metric, each under a name of its own: `map` and `map_50` of `map` stay as they are."""
    if not isinstance(value, dict):
        return {name: value}
    return {part if f"{part}_".startswith(f"{name}_") else f"{name}_{part}": each for part, each in value.items()}


def numbers(results: Results) -> dict[str, float]:
    """The results that are one number each."""
    return {name: float(value) for name, value in results.items() if value.numel() == 1}


def _parts(module: nn.Module) -> list[Metric]:
    """All metrics in it, those too that a wrapper computes from."""
    return [part for part in module.modules() if isinstance(part, Metric)]


def _has_lists(metric: Metric) -> bool:
    return any(isinstance(default, list) for default in metric._defaults.values())


def _together() -> bool:
    return is_available() and is_initialized() and get_world_size() > 1


def _summed(value: Tensor) -> Tensor:
    if not _together():
        return value
    summed = value.clone()
    torch.distributed.all_reduce(summed)
    return summed


def _gather_states(metric: Metric) -> None:
    """Put the states of all processes together, by rank; torchmetrics' own way needs lists of one length."""
    if not _together():
        return
    mine = move_data_to_device({name: getattr(metric, name) for name in metric._defaults}, torch.device("cpu"))
    parts: list[Any] = [None] * get_world_size()
    all_gather_object(parts, mine)
    for name, default in metric._defaults.items():
        values = [part[name] for part in parts]
        if isinstance(default, list):
            together = [each for value in values for each in value]
            setattr(metric, name, move_data_to_device(together, metric.device))
        else:
            reduce = metric._reductions[name]
            stacked = torch.stack(values).to(metric.device)
            setattr(metric, name, stacked if reduce is None else reduce(stacked))  # type: ignore[operator]
