"""A bidirectional LSTM over embeddings of its own (Hochreiter and Schmidhuber, 1997; Graves and Schmidhuber, 2005)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from taskkit import Classes, DataSpec, Example, Model
from taskkit_text import sections, vocabulary
from taskkit_text.tokens import TokenProcessor

FACTOR = 0x9E3779B1
"""Of a multiplicative hash: a prime near the golden ratio of 2**32 (Knuth, The Art of Computer Programming, 6.4)."""


class Lstm(Model[sections.Lstm, "LstmProcessor"]):
    """A bidirectional LSTM with a vocabulary learnt from the training texts."""

    def processor(self, spec: DataSpec) -> LstmProcessor:
        """Characters, words or word pieces, once it is fitted."""
        return LstmProcessor(spec, self.config)

    def network(self, spec: DataSpec, processor: LstmProcessor) -> nn.Module:
        """A freshly initialised network for the learnt vocabulary."""
        assert isinstance(spec.target, Classes)
        return BidirectionalLstm(self.config, processor.tokenizer.get_vocab_size(), len(spec.target))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The layers."""
        return list(network.get_submodule("layers").children())


class LstmProcessor(TokenProcessor):
    """Numbers of tokens that are common in the training texts."""

    def __init__(self, spec: DataSpec, config: sections.Lstm) -> None:
        super().__init__(spec, config.max_characters, config.max_length, config.truncate, config.round_to)
        self.config = config

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn the vocabulary."""
        texts = [part for example in examples for part in self.cut.parts(example.input)]
        tokens = vocabulary.choose(self.config.tokens, texts, usual="wordpiece")
        self.tokenizer = vocabulary.learn(tokens, texts, self.config.vocabulary)


class BidirectionalLstm(nn.Module):
    """Embeddings, layers that read both ways, the largest and the mean of each feature over the text, a linear head."""

    def __init__(self, config: sections.Lstm, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, config.embedding, padding_idx=0)
        # At PyTorch's own deviation of 1, what is noise in the embedding of a rare token drowns what is learnt.
        self.embed.weight.data.mul_(0.1)
        self.ngrams = NGrams(config.ngrams, config.buckets, config.embedding) if config.ngrams > 1 else None
        sizes = [config.embedding, *[2 * config.width] * (config.depth - 1)]
        self.layers = nn.ModuleList(BothWays(size, config.width) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(4 * config.width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token numbers (texts, tokens) in, logits (texts, classes) out; the mask is true for what is no padding."""
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask
        hidden = self.embed(input_ids)
        if self.ngrams is not None:
            hidden = hidden + self.ngrams(input_ids, mask)
        for layer in self.layers:
            hidden = layer(self.dropout(hidden), mask.sum(dim=1))
        largest = hidden.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)
        mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        logits: Tensor = self.head(self.dropout(torch.cat([largest, mean.to(largest.dtype)], dim=1)))
        return logits


class NGrams(nn.Module):
    """The sum of the embeddings of the n-grams that begin at each token, of 2 to `longest` tokens.

    Which n-grams share one of the `buckets`, a hash decides (Bojanowski et al., 2017). All begin at nought: an n-gram
    that training hardly saw says nothing.
    """

    def __init__(self, longest: int, buckets: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.embed = nn.Embedding(buckets, width)
        nn.init.zeros_(self.embed.weight)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token numbers and which are no padding, both (texts, tokens), in; (texts, tokens, width) out."""
        total, number = torch.zeros((), device=tokens.device), tokens.long()
        for size in range(1, self.longest):
            number = number * FACTOR + F.pad(tokens.long()[:, size:], (0, size))
            inside = F.pad(mask[:, size:], (0, size))
            total = total + self.embed(number.remainder(len(self.embed.weight))) * inside[..., None]
        return total


class BothWays(nn.Module):
    """One LSTM from the first token to the last, and one from the last to the first.

    PyTorch's own bidirectional LSTM would start in the padding, or wait for the lengths to come from the device.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(inputs, width, batch_first=True)
        self.backwards = nn.LSTM(inputs, width, batch_first=True)
        for lstm in (self.forwards, self.backwards):
            # It remembers at first (Jozefowicz et al., 2015).
            nn.init.ones_(lstm.get_parameter("bias_hh_l0")[width : 2 * width])

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(texts, tokens, inputs) in, (texts, tokens, 2 width) out; what follows a text's `lengths` is noise."""
        place = torch.arange(tokens.shape[1], device=tokens.device)
        turned = lengths[:, None] - 1 - place
        turned = torch.where(turned < 0, turned + tokens.shape[1], turned)[..., None]  # its own inverse
        there, _ = self.forwards(tokens)
        back, _ = self.backwards(tokens.gather(1, turned.expand(-1, -1, tokens.shape[2])))
        return torch.cat([there, back.gather(1, turned.expand(-1, -1, back.shape[2]))], dim=-1)
