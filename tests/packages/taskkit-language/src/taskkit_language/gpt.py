"""A causal language model of bytes, the task of training it, and docstrings to train it on."""

import ast
import hashlib
import importlib.util
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchmetrics import Metric
from torchmetrics.text import Perplexity

from taskkit import (
    Batch,
    DataError,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Headline,
    Model,
    Of,
    Origin,
    Prediction,
    Prepared,
    Processor,
    Ratio,
    Sample,
    Split,
    Statistic,
    Step,
    Task,
    TaskkitError,
    Unit,
    by_share,
)
from taskkit_language import sections
from taskkit_language.measures import perplexity
from taskkit_language.sections import Text

END = 0
"""Stands before and after each document: no text has this byte."""
IGNORED = -100
"""The target of padding."""
VOCABULARY = 256


class Docstrings(DataModule[sections.Docstrings]):
    """Each docstring of some modules is a document, once; its split is decided by a hash of its text."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read the sources of the modules; raises DataError for one that has none."""
        c = self.config
        texts: dict[str, str] = {}
        for module in c.modules:
            for place, text in docstrings(module):
                texts.setdefault(text, place)
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        for text, place in texts.items():
            splits[by_share(text, c.val, c.test)].append(Example(place, text))
        digest = hashlib.sha256(repr([*texts.items()]).encode()).hexdigest()
        origin = Origin("docstrings", f"Python {platform.python_version()}", digest, licence="PSF-2.0")
        spec = DataSpec(Text(), target(), f"docstrings-{digest}-{c.val}-{c.test}", (origin,))
        return Prepared(spec, splits)


def docstrings(module: str) -> Iterator[tuple[str, str]]:
    """Where each docstring of a module stands, as `argparse:12`, and its text; raises DataError without a source."""
    found = importlib.util.find_spec(module)
    source = Path((found and found.origin) or "")
    if source.suffix != ".py":
        raise DataError(f"data.modules: Python has no source of {module!r}. Name a module that is written in Python.")
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield f"{module}:{node.body[0].lineno}", text


class Bytes(Processor):
    """Texts as bytes between two END; a batch is one text after another, cut into rows of `context` bytes.

    A row goes on where the one before it ended, so a network sees the end of one text before the next one, as GPT-2
    and GPT-3 do (Brown et al., 2020, appendix B), and of a text that a row breaks only what the row holds.
    """

    unit = Unit("tokens")
    layout = "packed"

    def __init__(self, context: int) -> None:
        self.context = context

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """The text itself; raises DataError for one that holds the byte END."""
        if chr(END) in source:
            raise DataError(f"{source!r} holds a zero byte, which ends a text. Remove it.")
        return [Example(source, str(source))]

    def encode(self, example: Example) -> Sequence[Sample]:
        """Windows of at most `context` bytes, each with the byte that follows: uint8 (bytes + 1,)."""
        tokens = torch.tensor([END, *example.input.encode(), END], dtype=torch.uint8)
        return [{"tokens": tokens[at : at + self.context + 1]} for at in range(0, len(tokens) - 1, self.context)]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """`tokens` and `target` (rows, context); `target_offsets` (samples + 1,): where in all rows a sample begins."""
        tokens, target = (
            torch.cat([s["tokens"][part] for s in samples]).long() for part in (slice(-1), slice(1, None))
        )
        padding = (0, -len(tokens) % self.context)
        return {
            "tokens": F.pad(tokens, padding, value=END).view(-1, self.context),
            "target": F.pad(target, padding, value=IGNORED).view(-1, self.context),
            "target_offsets": torch.tensor([0, *map(self.length, samples)]).cumsum(0),
        }

    def length(self, sample: Sample) -> int:
        """How many bytes are predicted."""
        return len(sample["tokens"]) - 1

    def padded_size(self, batch: Batch) -> int:
        """All places of all rows."""
        return batch["tokens"].numel()

    def settings(self) -> Mapping[str, Any]:
        """Where windows are cut."""
        return {"context": self.context}


class Block(nn.Module):
    """Causal self-attention and a layer of perceptrons, each normalised before and added (Radford et al., 2019)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) to the same."""
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (rows, heads, tokens, width / heads)
        x = x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        out: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return out


class Network(nn.Module):
    """Vectors of bytes and places, blocks, and logits."""

    def __init__(self, c: sections.Gpt) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(VOCABULARY, c.width), nn.Embedding(c.context, c.width)
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.dropout) for _ in range(c.depth))
        self.head = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, VOCABULARY))

    def forward(self, tokens: Tensor) -> Tensor:
        """(rows, tokens) to logits (rows, tokens, VOCABULARY)."""
        x = self.bytes(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


class Gpt(Model[sections.Gpt, Bytes]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Bytes:
        """Bytes, in rows of the context."""
        return Bytes(self.config.context)

    def network(self, spec: DataSpec, processor: Bytes) -> nn.Module:
        """Sized by the settings alone."""
        return Network(self.config)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The transformer's blocks."""
        assert isinstance(network, Network)
        return list(network.blocks)


class Language(Task[sections.Language, Bytes]):
    """The cross-entropy of each byte given those before it; it answers by going on with a text."""

    headline = Headline("perplexity", "min")
    predict_options = sections.Generate
    predicts_in_test = False

    def step(self, batch: Batch) -> Step:
        """The mean cross-entropy of all bytes that are not padding, and of the end of each document."""
        logits, target = self(batch).float(), batch["target"]
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORED)
        scored = {"preds": logits.detach(), "target": target}
        return Step(loss, (target != IGNORED).sum(), over="tokens", outputs=logits, scored=scored)

    def metrics(self) -> Mapping[str, Metric]:
        """Perplexity over all bytes of a split."""
        return {"perplexity": Perplexity(ignore_index=IGNORED)}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The cross-entropy in nats and the number of bytes, summed over the windows of a document."""
        nll = F.cross_entropy(step.outputs.flatten(0, 1), batch["target"].flatten(), reduction="none")
        offsets = batch["target_offsets"]
        return {"nats": torch.segment_reduce(nll, "sum", offsets=offsets), "tokens": offsets.diff()}

    def statistics(self) -> Mapping[str, Statistic]:
        """The loss is nats for each byte, and so these add up over windows; perplexity is its exponential."""
        return {
            "loss": Ratio("nats", "tokens", ideal=0.0),
            "perplexity": Of(perplexity, ("nats", "tokens"), ideal=1.0),
        }

    def check_options(self, options: sections.Generate) -> None:
        """Raise TaskkitError for a temperature below zero, which would prefer what is unlikely."""
        if options.temperature < 0:
            raise TaskkitError(f"--temperature is {options.temperature:g}. 0, which is greedy, or more was expected.")

    def predict(
        self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: sections.Generate
    ) -> Sequence[Prediction]:
        """Each text with what follows it; it depends on the text and the options, never on what else was given."""
        prompts: dict[str, str] = {example.id: example.input for example in examples}  # an example may have windows
        texts = {name: self._continued(prompt, options, outputs.device) for name, prompt in prompts.items()}
        return [{"prediction": texts[example.id]} for example in examples]

    def join(self, parts: Sequence[Prediction], options: sections.Generate) -> Prediction:
        """Any of them: each window was answered for the whole text."""
        return parts[0]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The perplexity of knowing only how often each byte is, each counted once more than it was seen."""
        seen, asked = (
            torch.bincount(
                torch.tensor([byte for each in split for byte in (*each.input.encode(), END)]), minlength=256
            )
            for split in (train, test)
        )
        nats = -((seen + 1) / (seen + 1).sum()).log()
        return {"perplexity": float((nats * asked).sum().div(asked.sum()).exp())}

    def protocol(self) -> Mapping[str, Any]:
        """What is predicted, and from how much."""
        return {
            "perplexity": "of each byte and of each end, by those before it in its row",
            "row": self.processor.context,
        }

    def _continued(self, prompt: str, options: sections.Generate, device: torch.device) -> str:
        tokens = [END, *prompt.encode()]
        random = torch.Generator().manual_seed(options.seed)
        for _ in range(options.max_new_tokens):
            seen = torch.tensor([tokens[-self.processor.context :]], device=device)
            logits = self.network(seen)[0, -1].float().cpu()
            if options.temperature:
                chosen = (logits / options.temperature).softmax(0).multinomial(1, generator=random)
            else:
                chosen = logits.argmax()
            if chosen == END:
                break
            tokens.append(int(chosen))
        return bytes(tokens[1:]).decode(errors="replace")
