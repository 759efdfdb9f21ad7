from itertools import chain

import pytest
import torch

import taskkit
from taskkit import Classes, DataError, DataSpec
from taskkit_image import sections
from taskkit_image.facts import Images
from taskkit_image.mlp import Mlp
from taskkit_image.normalise import Normalise
from taskkit_image.resnet import Resnet
from taskkit_image.timm_model import TimmModel
from taskkit_image.vit import Vit, attend, sincos

SMALL = {
    "vit": (Vit, sections.Vit(patch=4, width=16, depth=2, heads=2, dropout=0.1, drop_path=0.1)),
    "vit, plain": (Vit, sections.Vit(patch=4, width=16, depth=1, heads=2, stem="patch", position="learned")),
    "resnet": (Resnet, sections.Resnet(widths=[8, 16], depths=[1, 2], dropout=0.1)),
    "mlp": (Mlp, sections.Mlp(widths=[16, 8], dropout=0.1)),
    "linear": (Mlp, sections.Mlp(widths=[])),
    "timm": (TimmModel, sections.Timm("test_resnet", pretrained=False, image_size=32)),
    "timm vit": (TimmModel, sections.Timm("test_vit", pretrained=False, image_size=32)),
}


@pytest.fixture(params=SMALL)
def model(request):
    kind, section = SMALL[request.param]
    torch.manual_seed(0)
    return kind(section)


def spec(channels=3, height=8, width=12):
    return DataSpec(Images(channels, height, width), Classes(("a", "b", "c")), "f")


def built(model, facts):
    processor = model.processor(facts)
    network = model.network(facts, processor)
    shape = (4, processor.channels, processor.height, processor.width)
    return network, torch.randint(256, shape, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_go_in_and_logits_come_out(model, channels):
    network, images = built(model, spec(channels))
    logits = network(image=images)
    assert logits.shape == (4, 3)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_every_weight_gets_a_gradient(model):
    network, images = built(model, spec())
    network.train()
    for _ in range(2):  # a residual block begins as the identity, so the first step reaches only its end
        for parameter in network.parameters():
            parameter.grad = None
        torch.nn.functional.cross_entropy(network(images), torch.tensor([0, 1, 2, 0])).backward()
        torch.optim.SGD(network.parameters(), lr=0.1).step()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_floats_are_taken_as_bytes_are(model):
    network, images = built(model, spec())
    network.eval()
    with torch.inference_mode():
        assert torch.equal(network(images), network(images.float()))


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    network, images = built(model, spec())
    network.eval()
    with torch.inference_mode():
        assert torch.allclose(network(images)[1:2], network(images[1:2]), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("timm")])
def test_a_few_steps_learn_a_batch_by_heart(name):
    kind, section = SMALL[name]
    torch.manual_seed(0)
    network, images = built(kind(section), spec())
    network.train()
    target = torch.tensor([0, 1, 2, 0])
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), target)
        loss.backward()
        optimiser.step()
    assert loss < 0.5


def test_blocks_hold_parameters_of_the_network_each_once_and_in_order(model):
    network, _ = built(model, spec())
    blocks = [[id(p) for p in block.parameters()] for block in model.blocks(network)]
    of_blocks = list(chain(*blocks))
    assert all(blocks)
    assert len(set(of_blocks)) == len(of_blocks)
    assert set(of_blocks) <= {id(p) for p in network.parameters()}


def test_timms_layers_end_with_the_head_and_leave_nothing_out():
    model = TimmModel(sections.Timm("test_vit", pretrained=False))
    network, _ = built(model, spec())
    layers = model.blocks(network)
    assert sum(len(list(layer.parameters())) for layer in layers) == len(list(network.parameters()))
    assert any(p is network.model.cls_token for p in layers[0].parameters())
    assert any(p is network.model.head.weight for p in layers[-1].parameters())


def test_image_size_overrides_that_of_the_data():
    processor = Vit(sections.Vit(image_size=16)).processor(spec())
    assert (processor.height, processor.width) == (16, 16)


def test_samples_are_shared_by_networks_of_any_shape_but_not_of_any_image_size():
    narrow, wide, large = (
        Vit(sections.Vit(**shape)).processor(spec(height=8, width=8))
        for shape in ({"width": 16}, {"width": 32, "depth": 1}, {"image_size": 16})
    )
    samples = [(processor.settings(), processor.state_dict()) for processor in (narrow, wide, large)]
    assert samples[0] == samples[1] != samples[2]


def test_patches_that_do_not_fill_the_image_are_refused():
    with pytest.raises(DataError, match="images of 8×12 pixels cannot be cut into patches of 5"):
        Vit(sections.Vit(patch=5)).processor(spec())


@pytest.mark.parametrize(
    ("section", "field"),
    [
        (sections.Vit(width=30, heads=4), "heads"),
        (sections.Vit(width=6, heads=2), "width"),
        (sections.Vit(image_size=30), "patch"),
        (sections.Resnet(widths=[8], depths=[1, 1]), "depths"),
        (sections.Resnet(widths=[8, 0], depths=[1, 1]), "widths"),
        (sections.Mlp(widths=[0]), "widths"),
        (sections.Folder(), "root"),
        (sections.Folder(root="/nowhere"), "root"),
        (sections.Folder(table="/nowhere.csv"), "table"),
        (sections.Folder(root="/", val_share=0.5, test_share=0.5), "val_share"),
        (sections.Folder(root="/", channels=2), "channels"),
        (sections.Timm("resnet18", weights="/nowhere.pt"), "weights"),
        (sections.Timm("resnet18", weights=__file__), "weights"),
        (sections.Timm("resnet18", pretrained=False, weights=__file__), "weights"),
    ],
)
def test_a_section_knows_what_makes_no_sense_in_it(section, field):
    problems = list(section.problems())
    assert field in {name for name, _ in problems}
    assert all(message.endswith(".") or "FOLDER" in message for _, message in problems)


@pytest.mark.parametrize("section", [section for _, section in SMALL.values()])
def test_a_section_that_makes_sense_has_no_problems(section):
    assert list(section.problems()) == []


def test_normalising_takes_shares_of_full_brightness():
    images = torch.tensor([[[[0, 255]], [[0, 255]]]], dtype=torch.uint8)
    normalised = Normalise([0.5, 0.0], [0.5, 0.25])(images)
    assert normalised.tolist() == [[[[-1.0, 1.0]], [[0.0, 4.0]]]]


def test_every_place_has_its_own_position():
    positions = sincos(3, 5, 16)
    assert positions.shape == (15, 16)
    assert torch.cdist(positions, positions).fill_diagonal_(1).min() > 0.1


def test_attention_in_bfloat16_on_a_cpu_is_that_of_torch():
    query, key, value = torch.randn(3, 2, 4, 16, 8).bfloat16()
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(attend(query, key, value), expected, atol=0.03)


def test_convolutions_keep_their_memory_order():
    network, _ = built(Resnet(sections.Resnet(widths=[8, 16], depths=[1, 1])), spec())
    assert network.blocks[1].first[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("batch_size", "refused"), [(4, True), (3, False)])
def test_one_image_left_over_is_refused_where_a_batch_is_normalised(photos, tmp_path, batch_size, refused):
    names = [f"{split}/{label}/{n}.png" for split in ("train", "val", "test") for label in "ab" for n in range(3)]
    root = photos(*names[:5], *names[6:])  # five to train on
    recipe = tmp_path / "few.yaml"
    recipe.write_text(
        f"""
task: {{name: image.classification}}
model: {{name: image.resnet, widths: [8], depths: [1]}}
data: {{name: image.folder, root: {root}}}
loader: {{batch_size: {batch_size}, drop_last: false}}
trainer: {{max_epochs: 1, accelerator: cpu, precision: 32-true}}
"""
    )
    if refused:
        message = "of 5 samples in batches of 4 one is left over.*Set loader.drop_last=true"
        with pytest.raises(taskkit.TaskkitError, match=message):
            taskkit.run(recipe, out=tmp_path / "run")
    else:
        assert taskkit.run(recipe, out=tmp_path / "run").status == "finished"
