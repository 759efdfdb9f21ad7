import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as logs

from taskkit import CheckpointError, SourceError
from taskkit_transformers import fill, find_model, fresh_model, is_run, read_configuration, read_weights, weights


def stored(folder):
    return load_file(folder / "model.safetensors")


def store(folder, state):
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def save(name, folder):
    (folder / "more.json").write_text(name)


def test_a_model_is_made_again_of_its_folder(folder):
    found, origin = find_model(str(folder), "more.json", save)
    settings = read_configuration(found)
    model = fresh_model(settings)
    fill(model, read_weights(found, settings), str(found))
    assert {name: value.tolist() for name, value in model.state_dict().items()} == {
        name: value.tolist() for name, value in stored(folder).items()
    }
    assert origin.source == str(folder)
    assert len(origin.sha256) == 64
    assert not is_run(str(folder))


def test_what_is_downloaded_is_kept_as_a_folder(folder, tmp_path):
    kept, shape = tmp_path / "kept", tmp_path / "shape"
    for place, pretrained in ((kept, True), (shape, False)):
        place.mkdir()
        # transformers fetches a model by its name on the hub or by its folder alike.
        weights._download(str(folder), save, pretrained, place)
        assert read_configuration(place) == read_configuration(folder)
    assert {file.name for file in kept.iterdir()} == {"config.json", "model.safetensors", "more.json"}
    assert {file.name for file in shape.iterdir()} == {"config.json", "more.json"}
    assert all(torch.equal(value, stored(folder)[name]) for name, value in stored(kept).items())


def test_a_name_that_no_hub_gives_is_told_with_the_cause_and_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    expected = r"(?s)some/model on the model hub: .*LocalEntryNotFoundError: .*model\.weights=FOLDER"
    with pytest.raises(SourceError, match=expected):
        find_model("some/model", "more.json", save)


def test_a_folder_without_weights_says_what_it_lacks(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(SourceError, match=r"model\.weights=.*has no \*\.safetensors\. .*, a more\.json and a model"):
        find_model(str(folder), "more.json", save)
    assert find_model(str(folder), "more.json", save, pretrained=False)[0] == folder


def test_weights_of_a_whole_model_are_taken_without_its_other_heads(folder, caplog, monkeypatch):
    prefix, state = read_configuration(folder)["model_type"], stored(folder)
    store(folder, {f"{prefix}.{name}": value for name, value in state.items()} | {"lm_head.bias": torch.zeros(3)})
    caplog.set_level("INFO", "taskkit")
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    read = read_weights(folder, read_configuration(folder))
    assert all(torch.equal(read[name], value) for name, value in state.items())
    assert "1 weights that this encoder has no place for are not used, as lm_head.bias" in caplog.text
    assert {record.name for record in caplog.records} == {"taskkit"}


def test_weights_that_lack_a_layer_are_refused_unless_it_is_optional(folder):
    state = stored(folder)
    gone = [name for name in state if ".1." in name and name.startswith("encoder.")]
    store(folder, {name: value for name, value in state.items() if name not in gone})
    with pytest.raises(
        CheckpointError, match=rf"its weights lack {gone[0][:12]}.* and {len(gone) - 1} more\. .*model\."
    ):
        read_weights(folder, read_configuration(folder))
    assert read_weights(folder, read_configuration(folder), optional=("encoder.",)).keys() >= set(gone)


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{"])
def test_weights_that_cannot_be_read_are_refused_and_transformers_logs_as_before(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    logs.enable_progress_bar()
    before = logs.get_verbosity(), True
    with pytest.raises(CheckpointError, match=r"its weights cannot be read as .*Correct model\.weights"):
        read_weights(folder, read_configuration(folder))
    assert (logs.get_verbosity(), logs.is_progress_bar_enabled()) == before


def test_weights_of_another_shape_are_refused(folder):
    settings = {**read_configuration(folder), "intermediate_size": 12}
    with pytest.raises(CheckpointError, match="its weights cannot be read as"):
        read_weights(folder, settings)
    with pytest.raises(CheckpointError, match=r"here: its weights do not fit \(size mismatch.*model\.overrides"):
        fill(fresh_model(settings), stored(folder), "here")


def test_weights_are_put_where_the_network_has_other_names(folder):
    state = stored(folder)
    outer = torch.nn.ModuleDict({"inner": fresh_model(read_configuration(folder)), "head": torch.nn.Linear(2, 2)})
    head = outer["head"].weight.clone()
    fill(outer, state, "here", {name: f"inner.{name}" for name in state})
    assert all(torch.equal(value, state[name]) for name, value in outer["inner"].state_dict().items())
    assert torch.equal(outer["head"].weight, head)
    with pytest.raises(CheckpointError, match=r"here: its weights lack head\.weight\."):
        fill(outer, {f"inner.{name}": value for name, value in state.items()}, "here")
