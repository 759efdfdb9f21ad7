"""Transcription by connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchmetrics import Metric

from taskkit import Batch, DataSpec, Example, Headline, Prediction, Processor, Step, Task, TaskkitError
from taskkit_speech import sections
from taskkit_speech.alignment import align
from taskkit_speech.alphabet import BLANK
from taskkit_speech.decoding import Decode, decoder, sha256
from taskkit_speech.errors import Rate, best_constant, rate, tally
from taskkit_speech.processor import SpeechProcessor

COLLAPSED = (
    "Every transcript is empty, again: the network says blank in every frame. From scratch it does so at first. "
    "While the loss falls, wait; when it stays, raise optim.lr or shorten optim.warmup, take smaller batches "
    "(loader.budget), mask and drop less (model.mask_time, model.dropout), begin with pretrained weights, or train on "
    "shorter clips first."
)
STILL_COLLAPSED = "Every transcript is still empty."


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

    @property
    def asked(self) -> Any:
        """The options that were given to `taskkit predict`; raises TaskkitError for those that decoding cannot heed."""
        return self._asked

    @asked.setter
    def asked(self, options: sections.CtcOptions) -> None:
        self._asked = options
        if given := _given(options):
            # At once: to read the recordings may take minutes.
            config = replace(self.config, **given)
            _check_heeded(config, given)
            self._decoder = config, decoder(config, self.alphabet)

    def forward(self, batch: Batch) -> Emissions:
        """Ask the network."""
        logits, lengths = super().forward(batch)
        return Emissions(logits.float().log_softmax(dim=-1), lengths)

    def step(self, batch: Batch) -> Step:
        """CTC's loss, the mean over all characters; in evaluation, what was heard is compared too.

        An utterance that has more characters than frames has no path: it counts for nothing; the processor notes it.
        """
        said: Emissions = self(batch)
        target = batch["target"]
        lengths = (target != BLANK).sum(dim=1)
        losses = F.ctc_loss(
            said.log_probs.transpose(0, 1),
            target,
            said.lengths,
            lengths,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        characters = (lengths.clamp(min=1) * (losses > 0)).sum()  # saying nothing counts as one
        loss = losses.sum() / characters.clamp(min=1)
        if self.training:
            # With padding: how many there are, the host would have to wait for.
            return Step(loss, target.numel(), said)
        found = tally(self._texts(said), [_written(row) for row in batch["target_text"].tolist()])
        preds = {name: counts.to(loss.device) for name, counts in found.items()}
        return Step(loss, int(characters), said, preds=preds)

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
        return {
            "normaliser": self.spec.protocol.get("normaliser", "none: transcripts as the data give them"),
            "decoding": _decoding(self.config),
            "wer": "errors of all utterances over all words of the references, parted by blanks",
            "cer": "errors of all utterances over all characters of the references, blanks included",
        }

    def remarks(self, results: Mapping[str, Tensor]) -> Iterable[str]:
        """That the network still says nothing at all, and once what helps; the first time is no surprise."""
        self._silences = self._silences + 1 if float(results["silent"]) == 1 else 0
        if self._silences > 1:
            yield COLLAPSED if self._silences == 2 else STILL_COLLAPSED

    def _decode(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """Decode as the run says, with what `taskkit predict` was asked for on top."""
        config = replace(self.config, **_given(self.asked))
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


def _given(options: sections.CtcOptions) -> dict[str, Any]:
    """The settings of decoding that were asked for."""
    return {name: value for name, value in asdict(options).items() if name != "times" and value is not None}


def _check_heeded(config: sections.Ctc, given: Mapping[str, Any]) -> None:
    """Raise TaskkitError for options that would change nothing."""
    spelt = {name: f"--{name.replace('_', '-')}" for name in given if name != "beam"}
    if config.beam == 1 and spelt:
        raise TaskkitError(
            f"{next(iter(spelt.values()))}: it is for beam search, and the beam is 1, greedy decoding. Add --beam 50."
        )
    if "lm_weight" in given and config.language_model is None:
        raise TaskkitError("--lm-weight: there is no language model to weigh. Name one: --language-model FILE.")
    if "word_score" in given and config.language_model is None and config.words is None:
        raise TaskkitError(
            "--word-score: there are no words to score. Name them: --language-model FILE or --words FILE."
        )


def _decoding(config: sections.Ctc) -> str:
    """All that decides what is read from the network's answers."""
    if config.beam == 1:
        return "greedy"
    said = [f"beam search, {config.beam} hypotheses"]
    if config.language_model is not None:
        said.append(f"language model sha256 {sha256(config.language_model)}, weight {config.lm_weight:g}")
    if config.words is not None:
        said.append(f"words sha256 {sha256(config.words)}")
    if len(said) > 1:
        said.append(f"word score {config.word_score:g}")
    return ", ".join(said)


def _written(code_points: Sequence[int]) -> str:
    """The text of code points, padded with zeros."""
    return "".join(chr(code_point) for code_point in code_points if code_point)
