import pickle

import pytest
import safetensors.torch
import timm
import torch

from taskkit import CheckpointError, Classes, DataSpec, SourceError, TaskkitError
from taskkit_image import sections
from taskkit_image.facts import MAX_PIXELS, Images
from taskkit_image.timm_model import TimmModel

SPEC = DataSpec(Images(1, 20, 20), Classes(("a", "b", "c")), "f")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Pretrained weights of a thousand classes, made here."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "test_vit.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), path)
    return path


def loaded(**settings):
    model = TimmModel(sections.Timm(**{"architecture": "test_vit", **settings}))
    torch.manual_seed(1)
    processor = model.processor(SPEC)
    network = model.network(SPEC, processor)
    return network, list(model.load_pretrained(network, processor))


def test_the_processor_is_what_the_model_was_made_for():
    processor = TimmModel(sections.Timm("resnet50.a1_in1k", pretrained=False)).processor(SPEC)
    assert processor.state_dict() == {
        "channels": 3,
        "height": 224,
        "width": 224,
        "crop": 0.95,
        "interpolation": "bicubic",
        "max_pixels": MAX_PIXELS,
        "background": "white",
    }


def test_weights_come_from_a_file_and_the_head_stays_fresh(weights):
    network, (origin,) = loaded(weights=str(weights))
    stored = safetensors.torch.load_file(weights)
    assert torch.equal(network.model.blocks[0].attn.qkv.weight, stored["blocks.0.attn.qkv.weight"])
    assert torch.equal(network.model.pos_embed, stored["pos_embed"])
    assert network.model.head.weight.shape == (3, network.model.num_features)
    assert origin.source == str(weights)
    assert len(origin.sha256) == 64


def test_weights_of_as_many_classes_keep_their_head(tmp_path):
    donor = timm.create_model("test_vit", num_classes=3)
    torch.save({"state_dict": {f"module.{k}": v for k, v in donor.state_dict().items()}}, tmp_path / "w.pt")
    network, _ = loaded(weights=str(tmp_path / "w.pt"))
    assert torch.equal(network.model.head.weight, donor.head.weight)


def test_weights_without_a_head_are_enough(tmp_path):
    donor = timm.create_model("test_vit", num_classes=0)
    torch.save(donor.state_dict(), tmp_path / "w.pt")
    network, _ = loaded(weights=str(tmp_path / "w.pt"))
    assert torch.equal(network.model.norm.weight, donor.norm.weight)


def test_positions_are_fitted_to_another_image_size(weights):
    network, _ = loaded(weights=str(weights), image_size=64)
    assert network.model.pos_embed.shape[1] < safetensors.torch.load_file(weights)["pos_embed"].shape[1]
    assert network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 3)


def test_a_run_is_rebuilt_without_the_weights(weights):
    trained, _ = loaded(weights=str(weights))
    model = TimmModel(sections.Timm("test_vit", weights="/gone.safetensors"))
    rebuilt = model.network(SPEC, model.processor(SPEC))
    rebuilt.load_state_dict(trained.state_dict())
    images = torch.randint(256, (2, 3, 160, 160), dtype=torch.uint8)
    assert torch.equal(trained.eval()(images), rebuilt.eval()(images))


def test_weights_of_another_model_are_refused(weights):
    with pytest.raises(CheckpointError, match="these are not weights of test_resnet"):
        loaded(architecture="test_resnet", weights=str(weights))


def test_weights_that_lack_a_layer_are_refused(tmp_path, weights):
    state = safetensors.torch.load_file(weights)
    del state["blocks.1.mlp.fc1.weight"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mlp\.fc1\.weight"):
        loaded(weights=str(tmp_path / "w.pt"))


class Bomb:
    def __reduce__(self):
        return (print, ("code of the file was run",))


def test_a_pickle_that_holds_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"a": Bomb()}, tmp_path / "w.pt")
    (tmp_path / "w.bin").write_bytes(pickle.dumps(Bomb()))
    for name in ("w.pt", "w.bin"):
        with pytest.raises(CheckpointError, match="the weights cannot be read"):
            loaded(weights=str(tmp_path / name))
    assert "run" not in capsys.readouterr().out


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"w\.safetensors: the weights cannot be read"):
        loaded(weights=str(tmp_path / "w.safetensors"))


def test_without_pretraining_nothing_is_fetched():
    assert loaded(pretrained=False)[1] == []


def test_a_model_without_published_weights_says_so():
    with pytest.raises(SourceError, match=r"(?s)the model hub, through timm: .*model\.weights"):
        loaded(architecture="test_vit4")


@pytest.mark.parametrize(("name", "hint"), [("resnet5O", "resnet50"), ("resnet50.a1_in1", "resnet50.a1_in1k")])
def test_a_name_that_timm_does_not_know_gets_a_suggestion(name, hint):
    with pytest.raises(TaskkitError, match=f"has no model '{name}'. Did you mean .*{hint}"):
        TimmModel(sections.Timm(name)).processor(SPEC)


def test_a_setting_that_the_model_does_not_have_is_explained():
    model = TimmModel(sections.Timm("vgg11", pretrained=False, drop_path=0.1))
    with pytest.raises(TaskkitError, match=r"timm cannot make vgg11 with drop_path_rate=0\.1"):
        model.network(SPEC, model.processor(SPEC))
