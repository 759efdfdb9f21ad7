"""A search for the values of one recipe: Optuna proposes, runs without a test answer, validation judges.

Optuna's study lives in memory and is made again of study.json at each start, so that there is one record of a search
and no second one that could contradict it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from taskkit.contracts.settings import to_plain
from taskkit.errors import CheckpointError, RecipeError, TaskkitError
from taskkit.runs import history, manifest
from taskkit.runs.manifest import Protocol
from taskkit.runs.study import CellRecord, SearchRecord, TrialRecord
from taskkit.study.book import Book
from taskkit.study.extras import imported
from taskkit.study.file import Range, Search
from taskkit.study.plan import Cell

TRIALS = 20
_STATES: Mapping[str, str] = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
"""What Optuna calls the ends of a trial."""

Make = Callable[[int, Mapping[str, Any]], Cell]
"""The cell of a trial, by its number and values; raises RecipeError where the values do not go together."""


class Searching:
    """The runs of a search, as work for a conductor; `start` are the values of the recipe as it is, tried first."""

    def __init__(self, recipe: str, search: Search, make: Make, start: Mapping[str, Any] | None, book: Book) -> None:
        self.recipe = recipe
        self.search = search
        self.make = make
        self.start = start
        self.book = book
        self.record = self._record()
        optuna = _optuna()
        self._distributions = {key: _distribution(values) for key, values in search.over.items()}
        self._optuna: Any = optuna.create_study(direction="maximize", study_name=recipe, pruner=_pruner(search.pruner))
        self._asked = dict[str, Any]()
        self._again = list[Cell]()
        self._pruned = set[str]()
        self._sizes = dict[str, int]()
        for known in book.trials(recipe):
            self._take_up(known)

    @property
    def total(self) -> int:
        """How many trials there are to be."""
        if self.search.sampler == "grid":
            return min(len(_grid(self.search)), self.search.trials or sys.maxsize)
        return self.search.trials or TRIALS

    # Work for a conductor.

    def next(self) -> Cell | None:
        """The next trial; None: all have begun."""
        if self._again:
            return self._again.pop(0)
        while not self.done:
            number = len(self.book.trials(self.recipe))
            trial = self._propose(number, self._given(number))
            values = self._values(trial.params)
            record = CellRecord(f"{self.recipe}/trials/{number}", self.recipe, values, trial=TrialRecord(number))
            try:
                cell = self.make(number, values)
            except RecipeError as error:
                self._tell(trial, "FAIL")
                self.book.set(replace(record, status="failed", reason=str(error)))
                continue
            self._asked[cell.name] = trial
            self.book.set(record)
            return cell
        return None

    @property
    def done(self) -> bool:
        """Whether all trials have begun."""
        return not self._again and len(self.book.trials(self.recipe)) >= self.total

    def ended(self, cell: Cell, record: CellRecord) -> CellRecord:
        """Tell Optuna how a trial ended, and keep its validations.

        Raises TaskkitError where it was validated on other data than one before.
        """
        self._refuse_other_validation(cell)
        trial, curve = self._asked[cell.name], self._curve(cell)
        value = self._best(curve)
        if record.status == "stopped" and cell.name in self._pruned:
            record = replace(record, status="pruned", reason=None)
        if record.status == "finished" and (value is None or not math.isfinite(value)):
            record = replace(record, status="failed", reason="it was never validated, or not by a finite number")
        if record.status == "finished":
            assert value is not None
            self._report(trial, curve)
            self._tell(trial, "COMPLETE", self._signed(value))
        elif record.status in ("pruned", "failed"):
            self._tell(trial, _STATES[record.status])
        kept = {name: each for name, each in self._optuna.trials[trial.number].system_attrs.items() if _is_number(each)}
        return replace(record, values=self._values(trial.params), trial=TrialRecord(trial.number, value, curve, kept))

    def unwanted(self, cell: Cell) -> bool:
        """Whether the pruner wants a trial stopped, by the validations that it has had."""
        lines = self._path(cell) / history.FILE
        if self.search.pruner == "none" or not lines.exists():
            return False
        size = lines.stat().st_size
        if self._sizes.get(cell.name) == size:
            return False
        self._sizes[cell.name] = size
        trial = self._asked[cell.name]
        new = self._report(trial, self._curve(cell))
        if new and trial.should_prune():
            self._pruned.add(cell.name)
            return True
        return False

    # What came of it.

    def conclude(self) -> SearchRecord:
        """Write down which trial is the best; raises TaskkitError where none was finished."""
        trials = self.book.trials(self.recipe)
        finished = [(each, each.trial.value) for each in trials if each.status == "finished" and each.trial is not None]
        known = [(each, value) for each, value in finished if value is not None]
        if not known:
            reasons = dict.fromkeys(each.reason for each in trials if each.reason)
            raise TaskkitError(
                f"search for {self.recipe}: none of its {len(trials)} trials was finished, so nothing can be chosen."
                + "".join(f"\n  {reason}" for reason in [*reasons][:3])
            )
        best, _ = max(known, key=lambda pair: self._signed(pair[1]))
        self.record = replace(self.record, start=self._value_of_start(trials), best=best.name, values=best.values)
        self.book.search(self.record)
        return self.record

    def _value_of_start(self, trials: Sequence[CellRecord]) -> float | None:
        """The validation of the recipe as it is; None: no trial has its values, or that one was never validated."""
        if self.start is None:
            return None
        found = (each.trial for each in trials if each.trial is not None and _are_same(each.values, self.start))
        return next((each.value for each in found if each.value is not None), None)

    def _refuse_other_validation(self, cell: Cell) -> None:
        """Raise TaskkitError where a trial was validated on other data than one before: its values chose them."""
        ours = self._protocol(cell.name)
        for other in self.book.trials(self.recipe):
            theirs = self._protocol(other.name) if other.name != cell.name else None
            if ours is None or theirs is None:
                continue
            said = [ours.data, ours.splits, ours.data_protocol], [theirs.data, theirs.splits, theirs.data_protocol]
            if said[0] == said[1]:
                return
            keys = [key for key, value in cell.values.items() if value != other.values.get(key)]
            made = [key for key in keys if key.startswith(("data.", "loader."))] or keys
            raise TaskkitError(
                f"search.over: {other.name} and {cell.name} were validated on other data, so that nothing can be "
                f"chosen among them: {', '.join(made)} decides which. Leave it out of the search, or vary it: `vary`."
            )

    def _protocol(self, name: str) -> Protocol | None:
        try:
            return manifest.read(self.book.path / name).protocol
        except CheckpointError:
            return None

    # The record.

    def _record(self) -> SearchRecord:
        """What is known of this search; raises TaskkitError where it was begun with other settings."""
        settings = to_plain(asdict(self.search))
        known = self.book.searched(self.recipe)
        if known is None:
            metric = self.search.metric.removeprefix("val/") if self.search.metric else ""
            known = SearchRecord(self.recipe, settings, f"val/{metric}" if metric else "", self.search.mode or "")
            self.book.search(known)
        differing = [name for name, value in settings.items() if _plain(known.settings.get(name)) != _plain(value)]
        if differing and (differing != ["trials"] or known.best is not None):
            raise TaskkitError(
                f"search: {self.book.path} holds a search with another {', '.join(differing)}. A search goes on as it "
                "began; more trials may be added until something was chosen. Name another directory with --out."
            )
        return replace(known, settings=settings)

    def _learn_headline(self, run: Path) -> None:
        """Take the metric and its direction from a run, which knows its task's headline."""
        try:
            protocol = manifest.read(run).protocol
        except CheckpointError:
            return
        if protocol is None:
            return
        metric = self.record.metric or f"val/{protocol.headline[0]}"
        mode = self.record.mode or (protocol.headline[1] if metric == f"val/{protocol.headline[0]}" else "")
        mode = mode or protocol.statistics.get(metric.removeprefix("val/"), {}).get("direction", "")
        if not mode and metric == "val/loss":
            mode = "min"
        if not mode:
            raise TaskkitError(f"search.metric: nobody says which way {metric} is better. Add search.mode: max or min.")
        self.record = replace(self.record, metric=metric, mode=mode)
        self.book.search(self.record)

    # Optuna.

    def _given(self, number: int) -> Mapping[str, Any] | None:
        """The values of a trial that nobody has to propose: the recipe as it is, or those of the grid."""
        if self.search.sampler == "grid":
            return _grid(self.search)[number]
        return self.start if number == 0 else None

    def _propose(self, number: int, given: Mapping[str, Any] | None) -> Any:
        """The next trial of Optuna's, with values that are given or that it proposes."""
        if given is not None:
            self._optuna.enqueue_trial(self._params(given))
        self._optuna.sampler = self._sampler(number)
        return self._optuna.ask(self._distributions)

    def _take_up(self, known: CellRecord) -> None:
        """Tell Optuna of a trial that an earlier start began; one that did not end is gone on with."""
        assert known.trial is not None
        if known.status in _STATES:
            self._optuna.add_trial(self._ended_before(known, known.trial))
            return
        cell = self.make(known.trial.number, known.values)
        self._asked[cell.name] = self._propose(known.trial.number, known.values)
        self._again.append(cell)

    def _ended_before(self, known: CellRecord, trial: TrialRecord) -> Any:
        optuna = _optuna()
        finished = known.status == "finished"
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState[_STATES[known.status]],
            value=self._signed(trial.value) if finished and trial.value is not None else None,
            params=self._params(known.values),
            distributions=self._distributions,
            system_attrs=dict(trial.kept),
            intermediate_values={number: self._signed(value) for number, (_, value) in enumerate(trial.curve, 1)},
        )

    def _report(self, trial: Any, curve: Sequence[tuple[int, float]]) -> bool:
        """Tell Optuna of validations that it does not know, counted from 1; whether there were any."""
        known = self._optuna.trials[trial.number].intermediate_values
        new = [(number, value) for number, (_, value) in enumerate(curve, 1) if number not in known]
        for number, value in new:
            trial.report(self._signed(value), number)
        return bool(new)

    def _tell(self, trial: Any, state: str, value: float | None = None) -> None:
        self._optuna.tell(trial, value, _optuna().trial.TrialState[state])

    def _sampler(self, number: int) -> Any:
        """What proposes a trial: its own seed for each, so that a search that is gone on with proposes the same."""
        samplers, seed = _optuna().samplers, (self.search.seed * 1_000_003 + number) % 2**32
        if self.search.sampler == "tpe":
            return samplers.TPESampler(seed=seed)
        if self.search.sampler != "cmaes":
            return samplers.RandomSampler(seed=seed)
        if isinstance(self._optuna.sampler, samplers.CmaEsSampler):
            return self._optuna.sampler  # which remembers its distribution
        imported("cmaes")
        return samplers.CmaEsSampler(x0=self._best_before(), seed=seed, warn_independent_sampling=False)

    def _best_before(self) -> dict[str, Any] | None:
        """Where a distribution begins that was not kept: at the best that an earlier start found."""
        known = [each for each in self._optuna.trials if each.state.name == "COMPLETE"]
        if not known:
            return None
        best = max(known, key=lambda each: each.value)
        return {key: best.params[key] for key, over in self.search.over.items() if isinstance(over, Range)}

    # Values.

    def _params(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as Optuna has them: of a choice its number, since it knows no lists."""
        over = self.search.over
        return {
            key: value if isinstance(over[key], Range) else [*_choices(over[key])].index(value)
            for key, value in values.items()
        }

    def _values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        over = self.search.over
        return {key: params[key] if isinstance(over[key], Range) else _choices(over[key])[params[key]] for key in over}

    def _curve(self, cell: Cell) -> tuple[tuple[int, float], ...]:
        run = self._path(cell)
        if not self.record.metric or not self.record.mode:
            self._learn_headline(run)
        try:
            lines = history.read(run)
        except (CheckpointError, OSError):
            return ()
        name = self.record.metric
        return tuple((line["step"], float(line[name])) for line in lines if name in line)

    def _best(self, curve: Sequence[tuple[int, float]]) -> float | None:
        known = [value for _, value in curve if math.isfinite(value)]
        return max(known, key=self._signed) if known else None

    def _signed(self, value: float) -> float:
        return -value if self.record.mode == "min" else value

    def _path(self, cell: Cell) -> Path:
        return self.book.path / cell.name

    def _name(self, number: int) -> str:
        return f"{self.recipe}/trials/{number}"


def in_words(record: SearchRecord, trials: Sequence[CellRecord]) -> str:
    """What came of a search, in one line."""
    best = next(each for each in trials if each.name == record.best)
    assert best.trial is not None
    assert best.trial.value is not None
    values = ", ".join(f"{key}={value}" for key, value in record.values.items())
    as_it_is = "not tried" if record.start is None else f"{record.start:.4f}"
    began = f" (the recipe as it is: {as_it_is})"
    ends = [
        f"{count} {status}" for status in ("pruned", "failed") if (count := sum(t.status == status for t in trials))
    ]
    return (
        f"search for {record.recipe}: {record.metric} {best.trial.value:.4f}{began} by trial {best.trial.number} of "
        f"{len(trials)}{''.join(f', {each}' for each in ends)}: {values}. No test split was asked."
    )


def _are_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether values are the same, but for how a step of a range was rounded."""
    return one.keys() == other.keys() and all(
        math.isclose(value, other[key]) if _is_number(value) and _is_number(other[key]) else value == other[key]
        for key, value in one.items()
    )


def _grid(search: Search) -> list[dict[str, Any]]:
    """All combinations of a grid, the last key changing first."""
    return [dict(zip(search.over, values, strict=True)) for values in product(*map(_steps, search.over.values()))]


def _steps(values: Sequence[Any] | Range) -> Sequence[Any]:
    if not isinstance(values, Range):
        return values
    assert values.step is not None
    count = math.floor((values.high - values.low) / values.step + 1e-9)
    return [values.low + number * values.step for number in range(count + 1)]


def _choices(values: Sequence[Any] | Range) -> Sequence[Any]:
    assert not isinstance(values, Range)
    return values


def _distribution(values: Sequence[Any] | Range) -> Any:
    distributions = _optuna().distributions
    if not isinstance(values, Range):
        return distributions.CategoricalDistribution(range(len(values)))
    if values.whole:
        return distributions.IntDistribution(
            int(values.low), int(values.high), log=values.log, step=int(values.step or 1)
        )
    step = None if values.step is None else float(values.step)
    return distributions.FloatDistribution(float(values.low), float(values.high), log=values.log, step=step)


def _pruner(name: str) -> Any:
    pruners = _optuna().pruners
    made = {"none": pruners.NopPruner, "median": pruners.MedianPruner, "hyperband": pruners.HyperbandPruner}
    return made[name]()


def _optuna() -> Any:
    """Optuna, quiet; raises PluginError where it is not installed."""
    optuna = imported("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
