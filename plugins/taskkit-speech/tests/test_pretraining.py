import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import Wav2Vec2ForPreTraining

from taskkit import DataSpec, TaskkitError
from taskkit_speech import sections
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.heads import Pretext
from taskkit_speech.masks import distractors
from taskkit_speech.pretraining import Pretraining, codes_used, same_codes, similarity
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
    return {"audio": audio, "audio_length": torch.tensor([2000, 1500, 900])}


def test_the_loss_is_that_of_transformers_for_the_same_masks_and_distractors(batch):
    task = built().eval()
    torch.manual_seed(2)
    said = task(batch)
    others = distractors(said.masked, 20)
    theirs = Wav2Vec2ForPreTraining(task.network.encoder.config)
    predicted, quantised = said.predicted, said.quantised
    negatives = torch.stack([q[o] for q, o in zip(quantised, others, strict=True)]).permute(2, 0, 1, 3)
    logits = theirs.compute_contrastive_logits(quantised[None], negatives, predicted, 0.1)
    alike = (quantised == negatives).all(-1)
    logits[1:][alike] = -torch.inf
    target = torch.where(said.masked, 0, -100).transpose(0, 1).flatten()
    expected = F.cross_entropy(logits.transpose(0, 2).reshape(-1, 21), target)

    torch.manual_seed(0)  # as an evaluation of ours does
    step = task.step(batch)
    torch.manual_seed(0)
    again = task(batch)
    ours = similarity(again) / 0.1
    drawn = distractors(again.masked, 20)
    against = ours.gather(2, drawn).masked_fill(same_codes(again.codes, drawn), -torch.inf)
    both = torch.cat([ours.diagonal(dim1=1, dim2=2)[..., None], against], dim=2)
    by_hand = -both.log_softmax(2)[..., 0][again.masked].mean()
    assert step.preds["contrastive"].item() == pytest.approx(by_hand.item(), rel=1e-5)

    ours = similarity(said) / 0.1
    against = ours.gather(2, others).masked_fill(same_codes(said.codes, others), -torch.inf)
    both = torch.cat([ours.diagonal(dim1=1, dim2=2)[..., None], against], dim=2)
    assert -both.log_softmax(2)[..., 0][said.masked].mean().item() == pytest.approx(expected.item(), rel=1e-4)


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
        losses.append(step.preds["contrastive"].item())
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert task.network.batches == 61


def test_a_collapsed_codebook_scores_as_chance_does_and_is_remarked_on(batch):
    task = built().eval()
    with torch.no_grad():
        task.network.quantizer.weight_proj.weight.zero_()
        task.network.quantizer.weight_proj.bias[0], task.network.quantizer.weight_proj.bias[12] = 99, 99
    found = task.step(batch).preds
    assert found["accuracy"].item() == pytest.approx(1 / 21)
    assert found["codes_used"].item() == pytest.approx(1 / 12, rel=1e-3)
    (remark,) = task.remarks({"codes_used": torch.tensor(0.01)})
    assert "collapsed" in remark
    assert list(task.remarks({"codes_used": found["codes_used"]})) == []


def test_codes_used_counts_masked_frames_alone():
    shares = torch.zeros(1, 4, 1, 4)
    shares[0, [0, 1, 2, 3], 0, [0, 1, 0, 1]] = 1.0
    assert codes_used(shares, torch.tensor([[True, True, True, True]])).item() == pytest.approx(0.5)
    assert codes_used(shares, torch.tensor([[True, False, True, False]])).item() == pytest.approx(0.25)


def test_padding_and_company_do_not_change_what_is_said_of_a_clip(batch):
    task = built(mask_channels=0.0).eval()
    task.network.encoder.masking = task.network.encoder.masking.__class__(0.0, 4, 0.0, 4)
    together: Pretext = task(batch)
    alone: Pretext = task({"audio": batch["audio"][2:, :900], "audio_length": batch["audio_length"][2:]})
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
    from taskkit import Example

    processor.fit([Example("a", None, "ab")])
    recogniser = model.network(spec, processor)
    recogniser.encoder.load_state_dict(body.state_dict())
    assert recogniser(**batch).logits.shape[2] == 3
