import pytest
import torch

from taskkit import Classes, DataSpec
from taskkit_image import plugin, sections
from taskkit_image.facts import Images
from taskkit_image.mlp import Mlp
from taskkit_image.task import ImageClassification

SPEC = DataSpec(Images(1, 8, 8), Classes(tuple("abcd"), (5, 5, 5, 5)), "f")


def task(spec=SPEC, **settings):
    model = Mlp(sections.Mlp(widths=[8]))
    processor = model.processor(spec)
    config = sections.ImageClassification(**settings)
    return ImageClassification(config, model.network(spec, processor), processor, spec)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return {
        "image": torch.randint(256, (16, 1, 8, 8), dtype=torch.uint8),
        "target": torch.arange(16) % 4,
        "example": torch.arange(16),
    }


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_targets_are_probabilities_and_images_stay_images(settings, batch):
    mixed, probabilities = task(**settings).soften(batch)
    assert probabilities.shape == (16, 4)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(16))
    assert (probabilities > 0).sum(dim=1).max() == 2
    assert mixed["image"].shape == batch["image"].shape
    assert 0 <= mixed["image"].min() <= mixed["image"].max() <= 255
    assert not torch.equal(mixed["image"], batch["image"].float())
    assert torch.equal(mixed["example"], batch["example"])


def test_an_image_is_mixed_in_the_share_of_its_target(batch):
    mixed, probabilities = task(mixup=1.0).soften(batch)
    own = probabilities[torch.arange(16), batch["target"]][0]
    images = batch["image"].float()
    assert torch.allclose(mixed["image"], own * images + (1 - own) * images.roll(1, 0), atol=1e-2)


def test_nothing_is_mixed_unless_it_is_asked_for(batch):
    same, probabilities = task().soften(batch)
    assert same is batch
    assert probabilities is None


def test_a_training_step_takes_the_mixed_batch_and_an_evaluation_does_not(batch):
    mixing = task(mixup=1.0)
    torch.manual_seed(1)
    trained = mixing.train().step(batch)
    torch.manual_seed(1)
    images, probabilities = mixing.soften(batch)
    assert torch.allclose(trained.loss, torch.nn.functional.cross_entropy(mixing(images), probabilities))
    evaluated = mixing.eval().step(batch)
    assert torch.allclose(evaluated.loss, torch.nn.functional.cross_entropy(mixing(batch), batch["target"]))


def test_the_metrics_that_a_recipe_may_watch_are_those_that_are_one_number(batch):
    judging = task(DataSpec(Images(1, 8, 8), Classes(tuple("abcdef")), "f")).eval()
    metrics = judging.metrics()
    scored = judging.step(batch).scored
    for name, metric in metrics.items():
        metric.update(**scored.get(name, {"preds": scored["preds"], "target": scored["target"]}))
    (component,) = (each for each in plugin.taskkit_components() if each.kind == "task")
    numbers = {name for name, metric in metrics.items() if metric.compute().ndim == 0}
    assert {name for name in metrics if component.direction(name)} == numbers
    assert component.direction(judging.headline.metric) == judging.headline.direction


def test_mixing_is_drawn_from_torchs_own_generator(batch):
    mixing = task(mixup=0.4, cutmix=1.0)
    torch.manual_seed(1)
    first = [mixing.soften(batch)[1] for _ in range(4)]
    torch.manual_seed(1)
    again = [mixing.soften(batch)[1] for _ in range(4)]
    assert all(map(torch.equal, first, again))


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_one_image_left_over_keeps_its_target_and_no_target_is_smoothed_unasked(settings, batch):
    last = {name: values[:1] for name, values in batch.items()}
    _, probabilities = task(**settings).soften(last)
    assert probabilities.tolist() == [[1, 0, 0, 0]]
