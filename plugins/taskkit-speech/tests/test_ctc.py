import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jiwer
import pytest
import torch
from torchmetrics.functional.text import char_error_rate, word_error_rate

from taskkit import DataSpec, Example, TaskkitError
from taskkit_speech import sections
from taskkit_speech.ctc import Ctc, Emissions
from taskkit_speech.errors import Rate, best_constant, count_errors, rate
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.wav2vec2 import Wav2vec2

TINY = {"conv_widths": [8, 8], "conv_kernels": [20, 4], "conv_strides": [10, 2], "layers": 2, "width": 16, "heads": 2}
TEXTS = ["a cab", "bad dad", "", "abba", "dab a cab", "c"]


@pytest.fixture(scope="module")
def pairs():
    """Made-up answers and references of letters and blanks."""
    draw = random.Random(0)
    say = lambda: " ".join("".join(draw.choices("abc", k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6)))  # noqa: E731
    return [say() for _ in range(60)] + ["", "a b"], [say() for _ in range(60)] + ["a b", "c"]


def test_error_rates_are_those_of_independent_libraries(pairs):
    answers, references = pairs
    wer, cer = rate(answers, references, "word"), rate(answers, references, "character")
    assert wer == pytest.approx(jiwer.wer(references, answers))
    assert cer == pytest.approx(jiwer.cer(references, answers))
    assert wer == pytest.approx(word_error_rate(answers, references).item(), abs=1e-6)
    assert cer == pytest.approx(char_error_rate(answers, references).item(), abs=1e-6)


def test_metrics_do_not_depend_on_how_utterances_are_batched(pairs):
    answers, references = pairs
    for size in (1, 7, 62):
        metric = Rate("word_errors", "words")
        for at in range(0, len(answers), size):
            metric.update(count_errors(answers[at : at + size], references[at : at + size]))
        assert metric.compute().item() == pytest.approx(rate(answers, references, "word"))


def built(**settings):
    torch.manual_seed(0)
    spec = DataSpec(Audio(1000), Transcript(), "f", protocol={"normaliser": "letters-v1 (en)"})
    model = Wav2vec2(sections.Wav2vec2(**TINY, mask_time=0.0, dropout=0.0))
    processor = model.processor(spec)
    processor.fit([Example(str(n), None, text) for n, text in enumerate(TEXTS)])
    return Ctc(sections.Ctc(**settings), model.network(spec, processor), processor, spec)


def samples(task, texts=TEXTS):
    torch.manual_seed(1)
    found = []
    for number, text in enumerate(texts):
        audio = torch.randint(-9000, 9000, (700 + 150 * number,), dtype=torch.int16)
        numbers = torch.tensor(task.alphabet.spell(text), dtype=torch.int64)
        codes = torch.tensor([ord(c) for c in text], dtype=torch.int32)
        found.append({"audio": audio, "target": numbers, "target_text": codes})
    return found


@pytest.fixture
def task():
    return built()


def evaluated(task, batches):
    """The results and losses of an evaluation over batches of samples."""
    task.eval()
    metrics, losses = task.metrics(), []
    with torch.inference_mode():
        for batch in batches:
            step = task.step(task.processor.collate(batch))
            losses.append(step.loss * step.count)
            for metric in metrics.values():
                metric.update(**step.scored)
    return {name: metric.compute().item() for name, metric in metrics.items()} | {"loss": float(sum(losses))}


def test_results_do_not_depend_on_batches_or_padding(task):
    all_samples = samples(task)
    together = evaluated(task, [all_samples])
    alone = evaluated(task, [[sample] for sample in all_samples])
    task.processor.config.pad_to = 3.0
    padded = evaluated(task, [all_samples[::-1]])
    assert together["wer"] == alone["wer"] == padded["wer"] > 0
    assert together["cer"] == alone["cer"] == padded["cer"]
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert together["loss"] == pytest.approx(padded["loss"], rel=1e-4)


def test_a_reference_keeps_characters_that_the_network_does_not_know(task):
    (sample,) = samples(task, ["xyz"])
    step = task.eval().step(task.processor.collate([sample]))
    assert step.scored["tally"]["characters"] == 3
    assert step.loss.isfinite()


def test_a_target_longer_than_its_frames_leaves_the_loss_finite(task):
    short, long = samples(task, ["a cab", "abcd " * 40])
    step = task.train().step(task.processor.collate([short, long]))
    step.loss.backward()
    assert step.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in task.network.parameters() if p.grad is not None)
    alone = task.step(task.processor.collate([short]))
    assert step.loss.item() == pytest.approx(alone.loss.item(), rel=1e-4)


def test_silence_is_remarked_on_once_it_stays(task):
    def remarks(*shares):
        *earlier, now = ({"silent": share, "wer": 1.0} for share in shares)
        return list(task.remarks({"silent": torch.tensor(now["silent"])}, earlier))

    assert remarks(1.0) == []
    (remark,) = remarks(1.0, 1.0)
    assert "Every transcript is empty" in remark
    assert "optim.lr" in remark
    assert remarks(1.0, 1.0, 1.0) == ["Every transcript is still empty."]
    assert remarks(1.0, 1.0, 1.0, 0.9) == []
    assert remarks(1.0, 1.0, 0.9, 1.0) == []


def test_the_protocol_names_the_normaliser_and_the_decoding(task):
    assert task.protocol()["normaliser"] == "letters-v1 (en)"
    assert task.protocol()["decoding"] == "greedy"
    assert built(beam=20).protocol()["decoding"] == "beam search, 20 hypotheses"


def test_the_protocol_differs_whenever_what_is_decoded_may(tmp_path):
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("a cab")
    second.write_text("a dab")
    ways = [
        {"words": str(first)},
        {"words": str(second)},
        {"words": str(first), "word_score": 1.0},
        {"language_model": str(first)},
        {"language_model": str(first), "words": str(second)},
        {"language_model": str(first), "word_score": 1.0},
        {"language_model": str(first), "lm_weight": 1.0},
    ]
    decodings = [built(beam=20, **way).protocol()["decoding"] for way in ways]
    assert len(set(decodings)) == len(ways)
    assert built(beam=20, word_score=1.0, lm_weight=1.0).protocol() == built(beam=20).protocol()
    first.write_text("a bad")
    assert built(beam=20, **ways[0]).protocol()["decoding"] not in decodings


def test_words_and_a_language_model_need_beam_search(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a cab")
    for field in ("words", "language_model"):
        (problem,) = sections.Ctc(**{field: str(path)}).problems()
        assert problem[0] == "beam"
        assert "Set it to 50" in problem[1]
        assert list(sections.Ctc(beam=50, **{field: str(path)}).problems()) == []


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ({}, {"words": "w"}, "--words: .*Add --beam 50"),
        ({}, {"language_model": "w"}, "--language-model: .*Add --beam 50"),
        ({"beam": 20}, {"beam": 1, "word_score": 1.0}, "--word-score: .*Add --beam 50"),
        ({"beam": 20}, {"lm_weight": 1.0}, "--lm-weight: there is no language model"),
        ({}, {"beam": 20, "word_score": 1.0}, "--word-score: there are no words"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(run, options, message):
    task = built(**run)
    with pytest.raises(TaskkitError, match=message):
        task.check_options(sections.CtcOptions(**options))


def test_a_run_with_a_language_model_can_predict_greedily(tmp_path):
    task = built(beam=20, language_model=str(tmp_path / "gone.arpa"))
    greedy = sections.CtcOptions(beam=1)
    task.check_options(greedy)
    outputs = Emissions(torch.zeros(1, 3, len(task.alphabet)), torch.tensor([3]))
    assert task.predict({}, outputs, [], greedy) == [{"prediction": ""}]


def test_predictions_with_other_options_may_be_in_flight_at_once(tmp_path):
    pytest.importorskip("flashlight")
    task = built(beam=20)
    torch.manual_seed(2)
    outputs = Emissions((3 * torch.randn(8, 60, len(task.alphabet))).log_softmax(-1), torch.full((8,), 60))
    ways = [{}, {"beam": 1}]
    for number, words in enumerate(("cab", "dad", "bad abba")):
        (tmp_path / f"{number}.txt").write_text(words)
        ways.append({"words": str(tmp_path / f"{number}.txt")})
    alone = [task.predict({}, outputs, [], sections.CtcOptions(**way)) for way in ways]
    assert len({str(predictions) for predictions in alone}) == len(ways)
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda way: task.predict({}, outputs, [], sections.CtcOptions(**way)), ways * 8)
        assert list(together) == alone * 8


def test_a_test_is_decoded_once_and_a_prediction_with_options_again(task):
    batch = task.processor.collate(samples(task))
    with torch.inference_mode():
        outputs = task.eval().step(batch).outputs
    predictions = task.predict(batch, outputs, [], sections.CtcOptions())
    assert [prediction["prediction"] for prediction in predictions] == list(outputs.texts)
    renamed = replace(outputs, texts=["kept"] * len(TEXTS))
    assert task.predict(batch, renamed, [], sections.CtcOptions()) == [{"prediction": "kept"}] * len(TEXTS)
    pytest.importorskip("flashlight")
    assert {"prediction": "kept"} not in task.predict(batch, renamed, [], sections.CtcOptions(beam=5))


def test_the_loss_is_the_mean_over_characters(task):
    batch = task.processor.collate(samples(task))
    for step in (task.train().step(batch), task.eval().step(batch)):
        assert step.over == "characters"
        assert int(step.count) == sum(max(len(text), 1) for text in TEXTS)


def test_scores_are_counts_that_rates_are_made_of(task):
    batch = task.processor.collate(samples(task))
    step = task.eval().step(batch)
    scores = task.scores(batch, step)
    counts = {"word_errors", "words", "character_errors", "characters", "silent"}
    assert set(scores) == {*counts, "ctc", "learnt_characters"}
    assert float(scores["ctc"].sum() / scores["learnt_characters"].sum()) == pytest.approx(step.loss.item(), rel=1e-5)
    assert scores["words"].tolist() == [len(text.split()) for text in TEXTS]


def test_the_trivial_answer_is_the_transcript_nearest_to_all_others():
    assert best_constant(["x y z", "a b", "a c", "a d"], "word") == "a b"
    assert best_constant(["aaab", "aabb", "abbb"], "character") == "aabb"


def test_the_baseline_sees_only_training_transcripts(task):
    train = [Example("a", None, "a b"), Example("b", None, "a c")]
    test = [Example("c", None, "a d")]
    assert task.baseline(train, test) == {"wer": 0.5, "cer": pytest.approx(1 / 3)}


def test_words_where_nothing_was_said_are_insertions_as_jiwer_counts_them():
    assert rate([""], [""], "word") == 0
    assert rate(["a b"], [""], "word") == 2
    metric = Rate("word_errors", "words")
    metric.update(count_errors(["", "a b"], ["", ""]))
    assert metric.compute().item() == 2
