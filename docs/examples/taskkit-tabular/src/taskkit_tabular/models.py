"""Two models of rows: a network that is trained step by step, and trees that are grown in one go."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import lightgbm
import numpy as np
import torch
from taskkit import DataSpec, Model, Samples, TaskkitError, Values
from torch import Tensor, nn

from taskkit_tabular import sections
from taskkit_tabular.table import RowEncoder


class MlpNetwork(nn.Module):
    """Hidden layers over numbers, marks of what is missing, and embedded categories."""

    def __init__(self, config: sections.Mlp, processor: RowEncoder, values: int) -> None:
        super().__init__()
        # What was never seen adds nothing.
        counts = [len(categories) + 1 for categories in processor.categories]
        self.embeddings = nn.ModuleList(nn.Embedding(count, config.embedding, padding_idx=0) for count in counts)
        sizes = [2 * len(processor.medians) + config.embedding * len(self.embeddings), *[config.width] * config.depth]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, values)

    def forward(self, numbers: Tensor, missing: Tensor, categories: Tensor) -> Tensor:
        """(batch, columns) to (batch, values)."""
        embedded = [embed(column) for embed, column in zip(self.embeddings, categories.T, strict=True)]
        x = torch.cat([numbers, missing, *embedded], dim=1)
        for layer in self.hidden:
            x = self.dropout(layer(x).relu())
        out: Tensor = self.head(x)
        return out


class Mlp(Model[sections.Mlp, RowEncoder]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> RowEncoder:
        """One that learns from the training rows."""
        assert isinstance(spec.input, sections.Rows)
        return RowEncoder(spec.input)

    def network(self, spec: DataSpec, processor: RowEncoder) -> nn.Module:
        """Sized by the columns and the categories."""
        assert isinstance(spec.target, Values)
        return MlpNetwork(self.config, processor, len(spec.target))


class Forest(nn.Module):
    """Boosted trees for each value; they are the state of this module, as text that LightGBM reads."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        self.values = values
        self.boosters: list[lightgbm.Booster] = []

    def forward(self, numbers: Tensor, missing: Tensor, categories: Tensor) -> Tensor:
        """(batch, columns) to (batch, values), in standard deviations from the means."""
        rows = columns(numbers, missing, categories)
        out = np.stack([booster.predict(rows) for booster in self.boosters], axis=1)
        return torch.from_numpy(out).to(numbers)

    def get_extra_state(self) -> list[str]:
        """The trees as text."""
        return [booster.model_to_string() for booster in self.boosters]

    def set_extra_state(self, state: Sequence[str]) -> None:
        """Read the trees back."""
        self.boosters = [lightgbm.Booster(model_str=text) for text in state]


class Trees(Model[sections.Trees, RowEncoder]):
    """Boosted trees: run them with `trainer.max_epochs=0`, since no step teaches them anything."""

    def processor(self, spec: DataSpec) -> RowEncoder:
        """The same as a network's."""
        assert isinstance(spec.input, sections.Rows)
        return RowEncoder(spec.input)

    def network(self, spec: DataSpec, processor: RowEncoder) -> nn.Module:
        """No tree yet."""
        assert isinstance(spec.target, Values)
        return Forest(spec.target)

    def exportable(self, network: nn.Module) -> nn.Module:
        """None: trees are no tensors."""
        raise TaskkitError(
            "tabular.trees: boosted trees are no tensors, which a program is made of. Save them as text."
        )

    def fit(self, network: nn.Module, samples: Samples) -> None:
        """Grow trees for each value."""
        assert isinstance(network, Forest)
        numbers = range(len(samples))
        batch = {name: torch.stack([samples[number][name] for number in numbers]) for name in samples[0]}
        rows = columns(batch["numbers"], batch["missing"], batch["categories"])
        first = rows.shape[1] - batch["categories"].shape[1]
        settings = {
            "num_leaves": self.config.leaves,
            "learning_rate": self.config.lr,
            "min_data_in_leaf": self.config.smallest,
            "deterministic": True,
            "verbose": -1,
        }
        means, deviations = torch.tensor(network.values.means), torch.tensor(network.values.deviations)
        targets = ((batch["target"] - means) / deviations).double().numpy()
        network.boosters = [
            lightgbm.train(
                settings,
                lightgbm.Dataset(rows, target, categorical_feature=list(range(first, rows.shape[1]))),
                num_boost_round=self.config.trees,
            )
            for target in targets.T
        ]


def columns(numbers: Tensor, missing: Tensor, categories: Tensor) -> Any:
    """The columns as trees take them: a number that is missing is NaN."""
    given = torch.where(missing > 0, torch.nan, numbers.double())
    return torch.cat([given, categories.double()], dim=1).cpu().numpy()
