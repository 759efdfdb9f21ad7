"""The Model and Processor contracts: a network, and its way in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import TypeVar

from taskkit.contracts.data import Batch, SectionT
from taskkit.contracts.explained import Places
from taskkit.contracts.facts import DataSpec, Example, Origin
from taskkit.contracts.settings import NoOptions
from taskkit.errors import DataError, TaskkitError

Sample = Mapping[str, Tensor]
"""What a Processor makes of an example: tensors by name, on the CPU, without a batch dimension.

A scalar whose name begins with `flag_` marks the sample, 1 or 0, as `flag_truncated`: the host counts it and tells a
person; no batch holds it.
"""


class Samples(Protocol):
    """Encoded samples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Sample: ...


Layout = Literal["stacked", "padded", "packed"]


@dataclass(frozen=True)
class Unit:
    """What the work of a network is counted in: `Unit("audio seconds", 16000)` counts 16 000 of a length as one."""

    name: str
    scale: float = 1.0


class Processor(ABC):
    """A network's way in, saved with the run: training, prediction and serving all use the same one."""

    unit: Unit = Unit("examples")
    layout: Layout = "stacked"
    """How `collate` puts samples of different lengths together. A padded batch holds samples of like length, a packed
    one any; both hold as many units as `loader.budget` says."""
    predict_options: ClassVar[type] = NoOptions
    """A dataclass of `taskkit.setting`s, each with a default: what `taskkit predict` takes to read, as `--column`."""
    fill_values: ClassVar[Mapping[str, int]] = {}
    """Fields of one dimension whose length may differ from sample to sample, by their names, and what `collate` fills
    the shorter ones up with."""
    network_state: ClassVar[tuple[str, ...]] = ()
    """Keys of `state_dict` that the network's shape needs and `encode` does not: kept samples do not depend on them."""

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn what must be learnt from the training split: a vocabulary, an alphabet, a graph; by default nothing.

        It may fetch, as a pretrained tokenizer is fetched. Of a Stream it is given the first examples.
        """
        return

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Make examples of what a person hands to `taskkit predict`: of a path or a line of text one, of a table many.

        `options` is a `predict_options`. A `taskkit.TextLine`, as each line of standard input is, names no file where
        the model reads text. The examples have no target; the id of each is what a person calls it. Raises DataError
        when it cannot be read; by default always, as for a model that needs no input.
        """
        names = ", ".join(f"--{field.name.replace('_', '-')}" for field in fields(self.predict_options))
        raise DataError(f"{source}: this run reads no input. Ask it by its options alone: {names or 'it has none'}.")

    def requested(self, options: Any) -> Sequence[Example]:
        """Make examples of the options alone, when no source is given, as of `--user 42`; by default none."""
        return ()

    @abstractmethod
    def encode(self, example: Example) -> Sequence[Sample]:
        """Turn an example into one sample, or several windows of something long.

        It must be deterministic, since samples are kept, and leave out `target` when the example has none. Raises
        DataError, naming the example, when that cannot be done.
        """

    def drawable(self, example: Example) -> Sequence[Sample]:
        """Turn a training example into what `draw` makes views of; by default into what `encode` gives.

        Write it where a view needs what `encode` leaves out, as crops of a picture need it in its own size. As `encode`
        it must be deterministic, and `length` is asked of its samples too. What is judged never comes from it.
        """
        return self.encode(example)

    def draw(self, sample: Sample, random: torch.Generator) -> Sample:
        """Make a fresh training view of a sample of `drawable`; by default it stays as it is.

        Called each time that the sample is trained on, in the process that reads it; `random` follows from the seed,
        the epoch and the sample alone. A view has what the network takes, as samples of `encode` do.
        """
        return sample

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Put samples together into a batch, by default by stacking each tensor along a new first dimension.

        The fields of `fill_values` are filled up to the longest of the batch.
        """
        batch = {}
        for name in samples[0]:
            values, fill = [sample[name] for sample in samples], self.fill_values.get(name)
            batch[name] = torch.stack(values) if fill is None else pad_sequence(values, True, fill)
        return batch

    def complete(self, batch: Batch) -> Batch:
        """Add to a batch each input that `collate` leaves out where it says nothing, as a mask of no padding.

        An exported network takes the same inputs always. By default the batch stays as it is.
        """
        return batch

    def places(self, example: Example, sample: Sample) -> Places | None:
        """What a person sees at each place of a sample's sequence, to show what an answer rests on; None: nothing."""
        return None

    def length(self, sample: Sample) -> int:
        """The real size of a sample in units: tokens, audio samples, items; by default 1."""
        return 1

    def padded_length(self, length: int) -> int:
        """The length that `collate` pads a sample of this length to, so that shapes are few; by default its own."""
        return length

    def padded_size(self, batch: Batch) -> int:
        """What a batch holds in the same units, padding included, from its shapes alone; by default its examples."""
        return next(iter(batch.values())).shape[0]

    def settings(self) -> Mapping[str, Any] | None:
        """Plain data that decide, beside state and code, what `encode` and `length` give: they name kept samples.

        By default None: then the whole model section counts, and every change of it encodes again.
        """
        return None

    def state_dict(self) -> Mapping[str, Any]:
        """Plain data that, with the section and the spec, rebuild the processor and the shape of its network."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        return


ProcessorT = TypeVar("ProcessorT", bound=Processor, default=Any)


class Model(ABC, Generic[SectionT, ProcessorT]):
    """A network and its way in, which belong together as they do in timm and transformers.

    `config` is the section that the component declares.
    """

    def __init__(self, config: SectionT) -> None:
        self.config = config

    @abstractmethod
    def processor(self, spec: DataSpec) -> ProcessorT:
        """The way in for data of these facts, before it is fitted."""

    @abstractmethod
    def network(self, spec: DataSpec, processor: ProcessorT) -> nn.Module:
        """Build the network, freshly initialised, for data of these facts and a fitted processor.

        Its `forward` takes the batch's tensors by name. Nothing is fetched here: a finished run is rebuilt with it.
        """

    def load_pretrained(self, network: nn.Module, processor: ProcessorT) -> Iterable[Origin]:
        """Put pretrained weights into a new network, once, before a run's first step; by default none.

        Raises SourceError when they cannot be had and CheckpointError when they do not fit.
        """
        return ()

    def fit(self, network: nn.Module, samples: Samples) -> None:
        """Learn in one go, from the encoded training samples, what no step learns, such as trees; by default nothing.

        What is learnt belongs to the network's state: buffers, or `get_extra_state` as plain data.
        """
        return

    def exportable(self, network: nn.Module) -> nn.Module:
        """Give a network that torch.export can take and that answers the same inputs alike; by default itself.

        Called in evaluation mode. Write it where `forward` asks what no program can know beforehand, such as a length
        as a Python number. Raises TaskkitError, with the reason, for what no program can hold, as boosted trees.
        """
        return network

    def save_pretrained(
        self, network: nn.Module, folder: Path, spec: DataSpec, processor: ProcessorT
    ) -> Callable[[Example, Sample], Any]:
        """Write the network as a folder that `from_pretrained` of transformers reads, with what reads its inputs.

        Gives what asks that folder, read back, about one example and the sample that was made of it: it answers as the
        network does to a batch of that sample, and is compared with it. Called in evaluation mode, with float32
        weights. Raises TaskkitError, with the reason, where transformers has no class that answers alike; by default
        always.
        """
        raise TaskkitError(f"{type(self).__name__} is no model of transformers.")

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The network's blocks from input to output; by default unknown.

        They are for layer-wise learning-rate decay, and their weights are gathered one block at a time where these are
        shared out among processes.
        """
        return ()
