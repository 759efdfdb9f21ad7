import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import Wav2Vec2ForPreTraining

from taskkit import DataSpec, Example, TaskkitError
from taskkit_speech import sections
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.heads import Pretext
from taskkit_speech.masks import distractors
from taskkit_speech.pretraining import FEW, Pretraining, in_use, same_codes, similarity, total
from taskkit_speech.wav2vec2 import Wav2vec2

TINY = {"conv_widths": [8, 8], "conv_kernels": [20, 4], "conv_strides": [10, 2], "layers": 1, "width": 16, "heads": 2}
SPEC = DataSpec(Audio(1000), Masked(), "f")


def built(config=None, **settings):
    torch.manual_seed(0)
    model = Wav2vec2(sections.Wav2vec2(**TINY, codes=12, mask_time=0.5, mask_time_span=4, **settings))
    processor = model.processor(SPEC)
    processor.fit([])
    return Pretraining(config or sections.Pretraining(distractors=20), model.network(SPEC, processor), processor, SPEC)


@pytest.fixture
def batch():
    """Three clips of tones of a quarter of a second, each of one of three pitches."""
    torch.manual_seed(1)
    pitches = torch.tensor([0.2, 0.9, 2.0])[torch.randint(3, (3, 8))].repeat_interleave(250, dim=1)
    audio = (9000 * pitches.cumsum(dim=1).sin()).to(torch.int16)
    return {"audio": audio, "audio_length": torch.tensor([2000, 1500, 900]), "example": torch.arange(3)}


def evaluated(task, *batches):
    """The results of an evaluation over batches."""
    metrics = task.eval().metrics()
    with torch.inference_mode():
        for batch in batches:
            step = task.step(batch)
            for name, metric in metrics.items():
                metric.update(**step.scored[name])
    return {name: metric.compute().item() for name, metric in metrics.items()}


def test_the_loss_is_that_of_transformers_for_the_same_masks_and_distractors(batch):
    task = built().eval()
    torch.manual_seed(2)
    outputs = task(batch)
    others = distractors(outputs.masked, 20)
    theirs = Wav2Vec2ForPreTraining(task.network.encoder.config)
    predicted, quantised = outputs.predicted, outputs.quantised
    negatives = torch.stack([q[o] for q, o in zip(quantised, others, strict=True)]).permute(2, 0, 1, 3)
    logits = theirs.compute_contrastive_logits(quantised[None], negatives, predicted, 0.1)
    alike = (quantised == negatives).all(-1)
    logits[1:][alike] = -torch.inf
    target = torch.where(outputs.masked, 0, -100).transpose(0, 1).flatten()
    expected = F.cross_entropy(logits.transpose(0, 2).reshape(-1, 21), target)

    step = task._step(outputs, others)
    assert step.scored["contrastive"]["value"].item() == pytest.approx(expected.item(), rel=1e-4)

    ours = similarity(outputs) / 0.1
    against = ours.gather(2, others).masked_fill(same_codes(outputs.codes, others), -torch.inf)
    both = torch.cat([ours.diagonal(dim1=1, dim2=2)[..., None], against], dim=2)
    assert -both.log_softmax(2)[..., 0][outputs.masked].mean().item() == pytest.approx(expected.item(), rel=1e-4)


def test_an_evaluation_gives_the_same_each_time_and_leaves_chance_as_it_was(batch):
    task = built().eval()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = task.step(batch)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(task.step(batch).loss, first.loss)


def test_training_learns_and_every_weight_takes_part(batch):
    task = built(speed=0.0).train()
    optimiser = torch.optim.AdamW(task.network.parameters(), lr=3e-3)
    task.step(batch).loss.backward()
    silent = [name for name, p in task.network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        step = task.step(batch)
        step.loss.backward()
        optimiser.step()
        losses.append(step.scored["contrastive"]["value"].item())
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert task.network.batches == 61


def test_a_collapsed_codebook_scores_as_chance_does_and_is_remarked_on(batch):
    task = built().eval()
    with torch.no_grad():
        task.network.quantizer.weight_proj.weight.zero_()
        task.network.quantizer.weight_proj.bias[0], task.network.quantizer.weight_proj.bias[12] = 99, 99
    found = evaluated(task, batch)
    assert found["accuracy"] == pytest.approx(1 / 21)
    assert found["codes_used"] == pytest.approx(1 / 12)
    (remark,) = task.remarks({"codes_used": torch.tensor(FEW - 0.01)}, [])
    assert "collapsed" in remark
    assert list(task.remarks({"codes_used": torch.tensor(found["codes_used"])}, [])) == []


def test_a_code_that_always_wins_by_a_hair_is_a_collapse_in_training_too(batch):
    task = built().eval()
    with torch.no_grad():
        task.network.quantizer.weight_proj.weight.zero_()
        task.network.quantizer.weight_proj.bias.zero_()
        task.network.quantizer.weight_proj.bias[0], task.network.quantizer.weight_proj.bias[12] = 0.01, 0.01
    assert evaluated(task, batch)["codes_used"] == pytest.approx(1 / 12)
    assert task.train().step(batch).scalars["codes_used"].item() == pytest.approx(1 / 12)


def test_codes_in_use_are_those_of_masked_frames_alone():
    shares = torch.zeros(1, 4, 1, 4)
    shares[0, [0, 1, 2, 3], 0, [0, 1, 0, 1]] = 1.0
    assert in_use(total(shares, torch.tensor([[True, True, True, True]]))).item() == pytest.approx(0.5)
    assert in_use(total(shares, torch.tensor([[True, False, True, False]]))).item() == pytest.approx(0.25)


def test_results_do_not_depend_on_batches_or_their_order(batch):
    task = built()
    together = evaluated(task, batch)
    alone = [{name: column[i : i + 1] for name, column in batch.items()} for i in (2, 0, 1)]
    alone[0]["audio"] = alone[0]["audio"][:, :900]
    assert evaluated(task, *alone) == pytest.approx(together, rel=1e-4)
    assert 0 < together["accuracy"] < 1
    assert together["codes_used"] > 2 / 12


def test_the_penalty_is_on_what_the_convolutions_answer_without_padding(batch):
    def penalty(task, **changes):
        losses = []
        for task.config.penalty in (0.0, 1.0):
            losses.append(task.step(batch | changes).loss)
        return (losses[1] - losses[0]).item()

    task = built().eval()
    before = penalty(task)
    padded = F.pad(batch["audio"], (0, 4000))
    assert penalty(task, audio=padded) == pytest.approx(before, rel=1e-3)
    norm = task.network.encoder.feature_extractor.conv_layers[-1].layer_norm
    with torch.no_grad():
        norm.weight.mul_(10)
    assert penalty(task) > 50 * before


def test_a_step_counts_masked_frames(batch):
    task = built().eval()
    alone = [task.step({name: column[n : n + 1] for name, column in batch.items()}) for n in range(3)]
    together = task.step(batch)
    assert together.over == "frames"
    assert int(together.count) == int(together.outputs.masked.sum()) == sum(int(step.count) for step in alone)
    assert 0 < int(together.count) < together.outputs.masked.numel()
    scores = task.scores(batch, together)
    for name in ("accuracy", "contrastive"):
        statistic = task.statistics()[name]
        above, below = (scores[column].sum() for column in statistic.columns)
        assert float(above / below) == pytest.approx(float(together.scored[name]["value"]), rel=1e-5), name


def test_padding_and_company_do_not_change_the_outputs_of_a_clip(batch):
    task = built(mask_channels=0.0).eval()
    together: Pretext = task(batch)
    alone: Pretext = task({"audio": batch["audio"][2:, :900]} | {n: batch[n][2:] for n in ("audio_length", "example")})
    frames = alone.predicted.shape[1]
    assert torch.allclose(together.predicted[2, :frames], alone.predicted[0], atol=1e-5)
    assert torch.equal(together.codes[2, :frames], alone.codes[0])


def test_the_objective_is_that_of_wav2vec2_alone():
    with pytest.raises(TaskkitError, match=r"model\.family: .*hubert"):
        built(family="hubert")


def test_a_pretraining_begins_a_recogniser(batch):
    body = built().network.encoder
    spec = DataSpec(Audio(1000), Transcript(), "f")
    model = Wav2vec2(sections.Wav2vec2(**TINY, codes=12))
    processor = model.processor(spec)
    processor.fit([Example("a", None, "ab")])
    recogniser = model.network(spec, processor)
    recogniser.encoder.load_state_dict(body.state_dict())
    batch.pop("example")
    assert recogniser(**batch).logits.shape[2] == 3
