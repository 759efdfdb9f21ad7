"""Transcription by connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchmetrics import Metric

from taskkit import Batch, DataSpec, Example, Headline, Prediction, Processor, Step, Task
from taskkit_speech import sections
from taskkit_speech.alignment import align
from taskkit_speech.alphabet import BLANK
from taskkit_speech.decoding import Decode, decoder
from taskkit_speech.errors import Rate, best_constant, rate, tally
from taskkit_speech.processor import SpeechProcessor

COLLAPSED = (
    "Every transcript is empty, again: the network says blank in every frame. From scratch it does so at first. "
    "While the loss falls, wait; when it stays, raise optim.lr or shorten optim.warmup, take smaller batches "
    "(loader.budget), mask and drop less (model.mask_time, model.dropout), begin with pretrained weights, or train on "
    "shorter clips first."
)


@dataclass
class Emissions:
    """What the network says in each frame."""

    log_probs: Tensor
    """(batch, frames, classes)"""
    lengths: Tensor
    """Frames of each clip, (batch,)."""
    texts: list[str] | None = None
    """The transcripts, once they are decoded."""


class Ctc(Task):
    """Transcribe each recording.

    The batch holds `target` (batch, characters), the numbers of characters, padded with 0, and `target_text`, all code
    points of the reference, with those that the network does not know. `headline` is the word error rate.
    """

    config: sections.Ctc
    headline = Headline("wer", "min")
    predict_options = sections.CtcOptions

    def __init__(self, config: Any, network: nn.Module, processor: Processor, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert isinstance(processor, SpeechProcessor)
        assert processor.alphabet is not None
        self.alphabet = processor.alphabet
        self._silences = 0
        self._decoder: tuple[sections.Ctc, Decode] | None = None
        self.frame_seconds = processor.grid.hop / processor.hearing.sample_rate

    def forward(self, batch: Batch) -> Emissions:
        """Ask the network."""
        logits, lengths = super().forward(batch)
        return Emissions(logits.float().log_softmax(dim=-1), lengths)

    def step(self, batch: Batch) -> Step:
        """CTC's loss for each character, the mean over utterances; in evaluation, what was heard is compared too.

        An utterance that has more characters than frames has no path; its loss counts as 0, and the processor notes it.
        """
        said: Emissions = self(batch)
        target = batch["target"]
        losses = F.ctc_loss(
            said.log_probs.transpose(0, 1),
            target,
            said.lengths,
            (target != BLANK).sum(dim=1),
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        loss = (losses / (target != BLANK).sum(dim=1).clamp(min=1)).mean()
        if self.training:
            return Step(loss, len(target), said)
        found = tally(self._texts(said), [_written(row) for row in batch["target_text"].tolist()])
        return Step(loss, len(target), said, preds={name: counts.to(loss.device) for name, counts in found.items()})

    def metrics(self) -> Mapping[str, Metric]:
        """Word and character error rate over all utterances, and the share of utterances without an answer."""
        return {
            "wer": Rate("word_errors", "words"),
            "cer": Rate("character_errors", "characters"),
            "silent": Rate("silent", None),
        }

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The errors and the length of each reference: rates are sums of one over sums of the other."""
        return {name: counts for name, counts in step.preds.items() if name != "silent"}

    def predict(self, batch: Batch, outputs: Emissions) -> Sequence[Prediction]:
        """The transcript; of a window its frames, since words are only read once all windows are joined."""
        if "target_frames" not in batch:
            return [{"prediction": text} for text in self._texts(outputs)]
        answers: list[Prediction] = []
        for log_probs, (first, last, windows) in zip(outputs.log_probs, batch["target_frames"].tolist(), strict=True):
            kept = log_probs[first:last].cpu()
            answers.append({"prediction": "", "log_probs": kept} if windows > 1 else self._read(kept))
        return answers

    def join(self, parts: Sequence[Prediction]) -> Prediction:
        """Read the frames of all windows as those of one recording."""
        return self._read(torch.cat([part["log_probs"] for part in parts]))

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The error rates of always answering the one training transcript that is nearest to the others."""
        learnt, wanted = [example.target for example in train], [example.target for example in test]
        best = {name: best_constant(learnt, unit) for name, unit in (("wer", "word"), ("cer", "character"))}
        return {
            "wer": rate([best["wer"]] * len(wanted), wanted, "word"),
            "cer": rate([best["cer"]] * len(wanted), wanted, "character"),
        }

    def protocol(self) -> Mapping[str, Any]:
        """How transcripts are normalised, decoded and compared."""
        config = self.config
        decoding = "greedy" if config.beam == 1 else f"beam search, {config.beam} hypotheses"
        if config.beam > 1 and config.language_model is not None:
            content = Path(config.language_model).expanduser().read_bytes()
            decoding += (
                f", language model sha256 {hashlib.sha256(content).hexdigest()}, weight {config.lm_weight:g}, "
                f"word score {config.word_score:g}"
            )
        return {
            "normaliser": self.spec.protocol.get("normaliser", "none: transcripts as the data give them"),
            "decoding": decoding,
            "wer": "errors of all utterances over all words of the references, parted by blanks",
            "cer": "errors of all utterances over all characters of the references, blanks included",
        }

    def remarks(self, results: Mapping[str, Tensor]) -> Iterable[str]:
        """That the network still says nothing at all, and what helps; the first time is no surprise."""
        self._silences = self._silences + 1 if float(results["silent"]) == 1 else 0
        if self._silences > 1:
            yield COLLAPSED

    def _decode(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """Decode as the run says, with what `taskkit predict` was asked for on top."""
        asked = {name: value for name, value in asdict(self.asked).items() if name != "times" and value is not None}
        config = replace(self.config, **asked)
        if self._decoder is None or self._decoder[0] != config:
            self._decoder = config, decoder(config, self.alphabet)
        return self._decoder[1](log_probs, lengths)

    def _texts(self, said: Emissions) -> list[str]:
        if said.texts is None:
            said.texts = self._decode(said.log_probs, said.lengths)
        return said.texts

    def _read(self, log_probs: Tensor) -> Prediction:
        """The prediction of one recording's frames (frames, classes)."""
        (text,) = self._decode(log_probs[None], torch.tensor([len(log_probs)]))
        if not self.asked.times:
            return {"prediction": text}
        words = align(log_probs, text, self.alphabet, self.frame_seconds)
        return {"prediction": [asdict(word) for word in words], "text": text}


def _written(code_points: Sequence[int]) -> str:
    """The text of code points, padded with zeros."""
    return "".join(chr(code_point) for code_point in code_points if code_point)
