"""An exported folder that answers without torch: the plugins' ways in and out in NumPy, and onnxruntime between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from typing_extensions import override

from taskkit.answering.answerer import Answerer, Encoded, in_numbers
from taskkit.contracts.arrays import ArrayProcessor, Arrays, ArrayTask
from taskkit.contracts.component import Chosen, load
from taskkit.contracts.facts import DataSpec, Example, Prediction, flag_words, is_flag
from taskkit.contracts.recipe import Recipe
from taskkit.errors import DataError, PluginError, RunFailedError, TaskkitError
from taskkit.wording import TELL_AUTHORS

BATCH_SIZE = 64
"""Samples that are answered at once."""
AHEAD = 256
"""So many examples are encoded before the first of them is answered."""


def is_portable(recipe: Recipe) -> bool:
    """Whether the recipe's model and task can do without torch."""
    if not (recipe.model.component.portable and recipe.task.component.portable):
        return False
    task: type[ArrayTask] = _class(recipe.task, ArrayTask)
    return task.answers(recipe.task.section)


@contextmanager
def blaming(recipe: Recipe) -> Iterator[None]:
    """Raise RunFailedError, which names the components, for what their code, or onnxruntime, raises."""
    try:
        yield
    except TaskkitError:
        raise
    except Exception as error:
        owners = " or ".join(f"{each.name} ({each.plugin})" for each in (recipe.model, recipe.task))
        raise RunFailedError(
            f"{owners}, asked without torch: {type(error).__name__}: {error}. --debug shows the way there. "
            f"{TELL_AUTHORS}"
        ) from error


class PortableAnswerer(Answerer):
    """A program between a way in and a way out in NumPy; see `Answerer`."""

    def __init__(
        self,
        recipe: Recipe,
        spec: DataSpec,
        program: Callable[[Arrays], Arrays],
        inputs: Sequence[str],
        state: Mapping[str, Any],
        task: Mapping[str, Any],
    ) -> None:
        self.recipe = recipe
        self._spec = spec
        self.program = program
        self.inputs = inputs
        self.processor: ArrayProcessor = _made(recipe.model, ArrayProcessor, recipe.model.section, spec, state)
        self.task: ArrayTask = _made(
            recipe.task, ArrayTask, recipe.task.section, spec, self.processor, task["state"], task["conclusion"]
        )

    @property
    @override
    def spec(self) -> DataSpec:
        return self._spec

    @property
    @override
    def predict_options(self) -> tuple[type, type]:
        return self.processor.predict_options, self.task.predict_options

    @override
    def check_options(self, answering: Any) -> None:
        self.task.check_options(answering)

    @override
    def requested(self, reading: Any) -> Sequence[Example]:
        return self.processor.requested(reading)

    @override
    def read(self, source: str, reading: Any) -> Sequence[Example]:
        return self.processor.read(source, reading)

    @override
    def encode(self, example: Example) -> Sequence[Encoded]:
        name = f"example {example.id!r}"
        try:
            if example.fault:
                raise DataError(example.fault)
            samples = self.processor.encode(example)
        except TaskkitError as error:
            raise error if str(error).startswith(name) else DataError(f"{name}: {error}") from error
        except Exception as error:  # a plugin's code, on an input that it did not expect
            what = f"{type(self.processor).__name__} cannot encode it: {type(error).__name__}: {error}"
            raise DataError(f"{name}: {what}. Mend the example, or leave it out of the data.") from error
        if not samples:
            raise DataError(
                f"{name}: {type(self.processor).__name__} makes no sample of it. One at least was expected."
            )
        return samples

    @override
    def encode_each(self, examples: Sequence[Example], workers: int) -> Iterator[Sequence[Encoded] | DataError]:
        def tried(example: Example) -> Sequence[Encoded] | DataError:
            try:
                return self.encode(example)
            except DataError as error:
                return error

        # Threads and no processes: what reads files and cuts texts works outside of Python's lock.
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            for start in range(0, len(examples), AHEAD):
                yield from pool.map(tried, (examples[at] for at in range(start, min(start + AHEAD, len(examples)))))

    @override
    def length(self, sample: Encoded) -> int:
        return self.processor.length(sample)

    @override
    def answer(
        self, examples: Sequence[Example], samples: Sequence[Sequence[Encoded]], answering: Any
    ) -> list[Prediction]:
        places = [(at, window) for at, each in enumerate(samples) for window in range(len(each))]
        places.sort(key=lambda place: self.length(samples[place[0]][place[1]]))
        parts: dict[tuple[int, int], Prediction] = {}
        for start in range(0, len(places), BATCH_SIZE):
            here = places[start : start + BATCH_SIZE]
            parts |= zip(
                here,
                self._batch([examples[at] for at, _ in here], [samples[a][b] for a, b in here], answering),
                strict=True,
            )
        marked = [
            {**self._joined([parts[at, window] for window in range(len(each))], answering), **_marks(each)}
            for at, each in enumerate(samples)
        ]
        return in_numbers(examples, marked)

    def _batch(self, examples: Sequence[Example], samples: Sequence[Encoded], answering: Any) -> Sequence[Prediction]:
        plain = [{name: value for name, value in each.items() if not is_flag(name)} for each in samples]
        batch = self.processor.collate(plain)
        if missing := [name for name in self.inputs if name not in batch]:
            raise RunFailedError(
                f"{self.recipe.model.name} ({self.recipe.model.plugin}): {type(self.processor).__name__} makes no "
                f"{', '.join(missing)}, which the program takes. Make it in `collate`. {TELL_AUTHORS}"
            )
        outputs = self.program({name: batch[name] for name in self.inputs})
        return self.task.predict(batch, outputs, examples, answering)

    def _joined(self, parts: Sequence[Prediction], answering: Any) -> Prediction:
        return parts[0] if len(parts) == 1 else self.task.join(parts, answering)


def _marks(samples: Sequence[Encoded]) -> Prediction:
    names = dict.fromkeys(name for each in samples for name in each if is_flag(name))
    found = [flag_words(name) for name in names if any(each.get(name, 0) for each in samples)]
    return {"flags": found} if found else {}


def _made(owner: Chosen, kind: type[Any], *arguments: Any) -> Any:
    """An object of a component's `portable`."""
    return _class(owner, kind)(*arguments)


def _class(owner: Chosen, kind: type[Any]) -> type[Any]:
    """The class that a component names as its `portable`; raises PluginError where there is no such."""
    reference = owner.component.portable
    try:
        made = load(reference)
    except Exception as error:  # whatever importing it raises
        raise PluginError(
            f"{owner.name} ({owner.plugin}): {reference} cannot be imported ({type(error).__name__}: {error}). "
            f"{TELL_AUTHORS}"
        ) from error
    if not (isinstance(made, type) and issubclass(made, kind)):
        raise PluginError(f"{owner.name} ({owner.plugin}): {reference} is no taskkit.{kind.__name__}. {TELL_AUTHORS}")
    return made
