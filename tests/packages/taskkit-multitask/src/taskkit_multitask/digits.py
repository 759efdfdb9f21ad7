"""Two targets of one picture: the data, the network and the task."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from taskkit import (
    Batch,
    Classes,
    DataError,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Headline,
    Mean,
    Model,
    Prediction,
    Prepared,
    Processor,
    Sample,
    Split,
    Statistic,
    Step,
    Task,
    TextLine,
    stratified,
)
from taskkit_multitask import sections
from taskkit_multitask.sections import DigitAndParity, Pictures

SIDE = 8
PARITIES = ("even", "odd")


class Digits(DataModule[sections.Digits]):
    """The digits of scikit-learn, which its package brings along."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read them, and hold some of each digit out."""
        from sklearn.datasets import load_digits

        pictures, digits = load_digits(return_X_y=True)
        ids = [f"{number:04d}" for number in range(len(digits))]
        examples = [
            Example(each, picture, {"digit": digit, "parity": digit % 2})
            for each, picture, digit in zip(ids, pictures.tolist(), digits.tolist(), strict=True)
        ]
        places = stratified(ids, digits.tolist(), self.config.val, self.config.test)
        splits: dict[Split, list[Example]] = {
            split: [examples[place] for place in numbers] for split, numbers in places.items()
        }
        both = DigitAndParity(
            {
                "digit": Classes.of(str(example.target["digit"]) for example in splits["train"]),
                "parity": Classes.of((PARITIES[example.target["parity"]] for example in splits["train"]), PARITIES),
            }
        )
        return Prepared(DataSpec(Pictures(SIDE), both, fingerprint=f"digits {self.config}"), splits)


class Greys(Processor):
    """Grey values as floats from 0 to 1."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Read the grey values of a picture, between blanks, from a text file or a line."""
        try:
            text = source if isinstance(source, TextLine) else Path(source).read_text()
            values = [float(word) for word in text.split()]
        except (OSError, ValueError) as error:
            raise DataError(f"{source}: {error}. A text file of {self.size**2} grey values was expected.") from None
        if len(values) != self.size**2:
            raise DataError(f"{source}: it has {len(values)} grey values. {self.size**2} were expected.")
        return [Example(source, values)]

    def encode(self, example: Example) -> Sequence[Sample]:
        """One sample, with a target for each question."""
        sample = {"image": torch.tensor(example.input).view(self.size, self.size) / 16}
        if example.target is not None:
            sample |= {f"target_{name}": torch.tensor(number) for name, number in example.target.items()}
        return [sample]

    def settings(self) -> Mapping[str, Any]:
        """The size of a picture."""
        return {"size": self.size}


class TwoHeads(nn.Module):
    """A hidden layer, and a head for each target."""

    def __init__(self, size: int, classes: Mapping[str, int], config: sections.Mlp) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(size**2, config.width), nn.ReLU(), nn.Dropout(config.dropout))
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, count) for name, count in classes.items()})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(batch, size, size) to logits (batch, classes) for each target."""
        hidden = self.body(image)
        return {name: head(hidden) for name, head in self.heads.items()}


class Mlp(Model[sections.Mlp, Greys]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Greys:
        """For pictures of this size."""
        assert isinstance(spec.input, Pictures)
        return Greys(spec.input.size)

    def network(self, spec: DataSpec, processor: Greys) -> nn.Module:
        """A head for each target, as large as it has classes."""
        return TwoHeads(processor.size, {name: len(classes) for name, classes in targets(spec).items()}, self.config)


class DigitsTask(Task[sections.DigitsTask, Greys]):
    """Cross-entropy of both targets, weighed; accuracy of each."""

    headline = Headline("digit_accuracy", "max")

    def step(self, batch: Batch) -> Step:
        """One loss of two, which are logged apart."""
        logits: dict[str, Tensor] = self(batch)
        losses = {name: F.cross_entropy(each.float(), batch[f"target_{name}"]) for name, each in logits.items()}
        return Step(
            losses["digit"] + self.config.parity_weight * losses["parity"],
            len(batch["target_digit"]),
            outputs=logits,
            scored={f"{k}_accuracy": {"preds": v.detach(), "target": batch[f"target_{k}"]} for k, v in logits.items()},
            scalars={f"{name}_loss": loss.detach() for name, loss in losses.items()},
        )

    def metrics(self) -> Mapping[str, Metric]:
        """The accuracy of each target."""
        return {
            f"{name}_accuracy": MulticlassAccuracy(len(classes), average="micro")
            for name, classes in targets(self.spec).items()
        }

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """Whether each answer is right."""
        return {f"{k}_correct": (v.argmax(-1) == batch[f"target_{k}"]).float() for k, v in step.outputs.items()}

    def statistics(self) -> Mapping[str, Statistic]:
        """Each accuracy is the mean of what is right."""
        return {f"{name}_accuracy": Mean(f"{name}_correct", ideal=1.0) for name in targets(self.spec)}

    def predict(
        self, batch: Batch, outputs: Mapping[str, Tensor], examples: Sequence[Example], options: Any
    ) -> Sequence[Prediction]:
        """The most probable class of each target, with its probability."""
        best = {name: logits.float().softmax(-1).max(-1) for name, logits in outputs.items()}
        return [
            {
                "prediction": {k: targets(self.spec)[k].names[int(v.indices[row])] for k, v in best.items()},
                **{f"{k}_probability": float(v.values[row]) for k, v in best.items()},
            }
            for row in range(len(examples))
        ]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """Accuracy of always answering the commonest class of each target."""
        found = {}
        for name in targets(self.spec):
            commonest = Counter(example.target[name] for example in train).most_common(1)[0][0]
            found[f"{name}_accuracy"] = sum(example.target[name] == commonest for example in test) / len(test)
        return found


def targets(spec: DataSpec) -> Mapping[str, Classes]:
    """The classes of each target."""
    assert isinstance(spec.target, DigitAndParity)
    return {name: fact for name, fact in spec.target.fields.items() if isinstance(fact, Classes)}
