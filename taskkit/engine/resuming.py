"""Whether a run that is gone on with is still the same run: its data, and what its processor learnt from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from taskkit.contracts.data import Prepared, Stream
from taskkit.contracts.facts import SPLITS
from taskkit.engine.build import Built, same
from taskkit.errors import DataError
from taskkit.runs import checkpoint


@dataclass(frozen=True)
class Begun:
    """What a run was when its last checkpoint was written."""

    saved: checkpoint.Saved
    sizes: Mapping[str, int | None]
    """Examples in each split; None: a stream."""

    def check(self, built: Built, prepared: Prepared) -> None:
        """Raise DataError, which names what differs, when the data or what was learnt from them are others now."""
        differences = list(self._differences(built, prepared))
        if differences:
            run = self.saved.path.parent.parent
            raise DataError(
                f"{built.recipe.data.name}: these data are not those that {run} was trained on: "
                f"{'; '.join(differences)}. A run goes on with the very same data. Put those back, or begin another "
                f"run: taskkit run {run}/recipe.yaml"
            )

    def _differences(self, built: Built, prepared: Prepared) -> Iterator[str]:
        before, now = self.saved.spec, checkpoint.pack(built.spec)
        if before["fingerprint"] != now["fingerprint"]:
            yield f"their fingerprint was {before['fingerprint']} and is {now['fingerprint']}"
        sizes = _sizes(prepared)
        for split in SPLITS:
            if split in self.sizes and self.sizes[split] != sizes.get(split):
                yield f"{split} had {self.sizes[split]} examples and has {sizes.get(split, 0)}"
        for side in ("input", "target"):
            if not same(before[side], now[side]):
                yield f"their {side} is described otherwise"
        learnt = dict(built.processor.state_dict())
        names = [
            name
            for name in {**self.saved.processor, **learnt}
            if name not in learnt or not same(self.saved.processor.get(name), learnt[name])
        ]
        if names:
            yield f"the processor of {built.recipe.model.name} learnt something else: {', '.join(names)}"


def _sizes(prepared: Prepared) -> dict[str, int | None]:
    splits = {split: prepared.examples(split) for split in SPLITS}
    return {
        split: None if isinstance(examples, Stream) else len(examples)
        for split, examples in splits.items()
        if isinstance(examples, Stream) or len(examples)
    }
