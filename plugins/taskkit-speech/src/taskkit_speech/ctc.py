"""Transcription by connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchmetrics import Metric

from taskkit import (
    Batch,
    DataSpec,
    Example,
    Explained,
    Headline,
    Mean,
    Prediction,
    Ratio,
    Results,
    Statistic,
    Step,
    Task,
    TaskkitError,
    Word,
)
from taskkit_speech import sections
from taskkit_speech.alignment import align
from taskkit_speech.alphabet import BLANK, frames_needed
from taskkit_speech.decoding import decoder, sha256
from taskkit_speech.errors import Rate, best_constant, count_errors, rate
from taskkit_speech.processor import SpeechProcessor

COLLAPSED = (
    "Every transcript is empty, again: the network answers the blank in every frame. From scratch it does so at first. "
    "While the loss falls, wait; when it stays, raise optim.lr or shorten optim.warmup, take smaller batches "
    "(loader.budget), mask and drop less (model.mask_time, model.dropout), begin with pretrained weights, or train on "
    "shorter clips first."
)
STILL_COLLAPSED = "Every transcript is still empty."


@dataclass(frozen=True)
class Emissions:
    """What the network answers in each frame."""

    log_probs: Tensor
    """(batch, frames, classes)"""
    lengths: Tensor
    """Frames of each clip, (batch,)."""
    texts: Sequence[str] | None = None
    """The transcripts as the recipe decodes them; None: not decoded yet."""


class Ctc(Task[sections.Ctc, SpeechProcessor]):
    """Transcribe each recording.

    The batch holds `target` (batch, characters), the numbers of characters, padded with 0, and `target_text`, all code
    points of the reference, with those that the network does not know. `headline` is the word error rate.
    """

    headline = Headline("wer", "min")
    predict_options = sections.CtcOptions

    def __init__(self, config: sections.Ctc, network: nn.Module, processor: SpeechProcessor, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert processor.alphabet is not None
        self.alphabet = processor.alphabet
        self.frame_seconds = processor.grid.hop / processor.front_end.sample_rate

    def forward(self, batch: Batch) -> Emissions:
        """Ask the network."""
        logits, lengths = super().forward(batch)
        return Emissions(logits.float().log_softmax(dim=-1), lengths)

    def step(self, batch: Batch) -> Step:
        """CTC's loss, the mean over all characters; in evaluation the transcripts are compared too.

        An utterance that has more characters than frames has no path: it counts for nothing; the processor flags it.
        """
        emissions: Emissions = self(batch)
        target = batch["target"]
        lengths = (target != BLANK).sum(dim=1)
        losses = F.ctc_loss(
            emissions.log_probs.transpose(0, 1),
            target,
            emissions.lengths,
            lengths,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        counted = lengths.clamp(min=1) * (losses > 0)  # an empty transcript counts as one
        characters = counted.sum()
        loss = losses.sum() / characters.clamp(min=1)
        if self.training:
            return Step(loss, characters, "characters", emissions)
        texts = decoder(self.config, self.alphabet)(emissions.log_probs, emissions.lengths)
        errors = count_errors(texts, [_reference(row) for row in batch["target_text"].tolist()])
        tally = {name: counts.to(loss.device) for name, counts in errors.items()}
        scored = {"tally": {**tally, "ctc": losses.detach(), "learnt_characters": counted}}
        return Step(loss, characters, "characters", replace(emissions, texts=texts), scored)

    def metrics(self) -> Mapping[str, Metric]:
        """Word and character error rate over all utterances, and the share of utterances without a transcript."""
        return {
            "wer": Rate("word_errors", "words"),
            "cer": Rate("character_errors", "characters"),
            "silent": Rate("silent", None),
        }

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The errors and the length of each reference, whether a transcript is lacking, and CTC's loss.

        `learnt_characters` are those that the loss counts: an empty transcript as one, one without a path as none.
        """
        return dict(step.scored["tally"])

    def statistics(self) -> Mapping[str, Statistic]:
        """Rates are errors over what there is to be said, of all utterances together; the loss is one, too."""
        return {
            "wer": Ratio("word_errors", "words", ideal=0.0),
            "cer": Ratio("character_errors", "characters", ideal=0.0),
            "silent": Mean("silent", ideal=0.0),
            "loss": Ratio("ctc", "learnt_characters", ideal=0.0),
        }

    def check_options(self, options: sections.CtcOptions) -> None:
        """Raise TaskkitError for options that decoding cannot heed, and for a decoder that cannot be made."""
        _check_heeded(self._decoding(options), _given(options))
        decoder(self._decoding(options), self.alphabet)

    def predict(
        self, batch: Batch, outputs: Emissions, examples: Sequence[Example], options: sections.CtcOptions
    ) -> Sequence[Prediction]:
        """The transcript; of a window its frames, since words are only read once all windows are joined."""
        if "target_frames" not in batch:
            return [{"prediction": text} for text in self._texts(outputs, options)]
        predictions: list[Prediction] = []
        for log_probs, (first, last, windows) in zip(outputs.log_probs, batch["target_frames"].tolist(), strict=True):
            kept = log_probs[first:last].cpu()
            predictions.append(
                {"prediction": "", "log_probs": kept} if windows > 1 else self._transcribe(kept, options)
            )
        return predictions

    def join(self, parts: Sequence[Prediction], options: sections.CtcOptions) -> Prediction:
        """Read the frames of all windows as those of one recording."""
        return self._transcribe(torch.cat([part["log_probs"] for part in parts]), options)

    def explained(
        self, batch: Batch, outputs: Emissions, options: sections.CtcOptions, wanted: str | None
    ) -> Explained:
        """The logarithm of the probability of the transcript, or of the one that is `wanted`, over all its paths.

        Raises TaskkitError for a transcript that cannot be what is said.
        """
        frames = int(outputs.lengths[0])
        text = self._texts(outputs, options)[0] if wanted is None else wanted
        numbers = torch.tensor(self.alphabet.spell(text), dtype=torch.int64, device=outputs.log_probs.device)
        if frames_needed(numbers.tolist()) > frames or self.alphabet.unknown(text):
            raise TaskkitError(
                f"{text!r} cannot be what is said: it needs {frames_needed(numbers.tolist())} of {frames} frames, and "
                f"{self.alphabet.unknown(text)} of its characters are unknown. Name a transcript that fits."
            )

        def score(emissions: Emissions) -> Tensor:
            count = len(emissions.log_probs)
            lengths = torch.full((count,), len(numbers), device=numbers.device)
            time_first = emissions.log_probs.transpose(0, 1)
            return -F.ctc_loss(
                time_first, numbers.repeat(count), emissions.lengths, lengths, blank=BLANK, reduction="none"
            )

        seconds = frames * self.frame_seconds
        aligned = align(outputs.log_probs[0, :frames].cpu(), text, self.alphabet, self.frame_seconds) if text else []
        words = [Word(each.word, each.start / seconds, each.end / seconds) for each in aligned]
        return Explained(text, "log-probability", score, words)

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The error rates of always predicting the one training transcript that is nearest to the others."""
        learnt, references = [example.target for example in train], [example.target for example in test]
        best = {name: best_constant(learnt, unit) for name, unit in (("wer", "word"), ("cer", "character"))}
        return {
            "wer": rate([best["wer"]] * len(references), references, "word"),
            "cer": rate([best["cer"]] * len(references), references, "character"),
        }

    def protocol(self) -> Mapping[str, Any]:
        """How transcripts are normalised, decoded and compared."""
        return {
            "normaliser": self.spec.protocol.get("normaliser", "none: transcripts as the data give them"),
            "decoding": _in_words(self.config),
            "wer": "errors of all utterances over all words of the references, parted by blanks",
            "cer": "errors of all utterances over all characters of the references, blanks included",
        }

    def remarks(self, results: Results, earlier: Sequence[Mapping[str, float]]) -> Iterable[str]:
        """That all transcripts are still empty, and once what helps; the first time is no surprise."""
        shares = [float(results["silent"]), *(before.get("silent", 0.0) for before in reversed(earlier))]
        silences = len(list(takewhile(lambda share: share == 1, shares)))
        if silences > 1:
            yield COLLAPSED if silences == 2 else STILL_COLLAPSED

    def _decoding(self, options: sections.CtcOptions) -> sections.Ctc:
        """How the recipe decodes, with the options of `taskkit predict` on top."""
        return replace(self.config, **_given(options))

    def _texts(self, emissions: Emissions, options: sections.CtcOptions) -> Sequence[str]:
        config = self._decoding(options)
        if emissions.texts is not None and config == self.config:
            return emissions.texts
        return decoder(config, self.alphabet)(emissions.log_probs, emissions.lengths)

    def _transcribe(self, log_probs: Tensor, options: sections.CtcOptions) -> Prediction:
        """The prediction of one recording's frames (frames, classes)."""
        (text,) = self._texts(Emissions(log_probs[None], torch.tensor([len(log_probs)])), options)
        if not options.times:
            return {"prediction": text}
        words = align(log_probs, text, self.alphabet, self.frame_seconds)
        return {"prediction": [asdict(word) for word in words], "text": text}


def _given(options: sections.CtcOptions) -> dict[str, Any]:
    """The settings of decoding that are not left to the recipe."""
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


def _in_words(config: sections.Ctc) -> str:
    """All that decides what is read from the network's outputs."""
    if config.beam == 1:
        return "greedy"
    parts = [f"beam search, {config.beam} hypotheses"]
    if config.language_model is not None:
        parts.append(f"language model sha256 {sha256(config.language_model)}, weight {config.lm_weight:g}")
    if config.words is not None:
        parts.append(f"words sha256 {sha256(config.words)}")
    if len(parts) > 1:
        parts.append(f"word score {config.word_score:g}")
    return ", ".join(parts)


def _reference(code_points: Sequence[int]) -> str:
    """The text of code points, padded with zeros."""
    return "".join(chr(code_point) for code_point in code_points if code_point)
