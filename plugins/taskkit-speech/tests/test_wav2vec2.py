import json
import pickle
import shutil

import pytest
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    WavLMConfig,
    WavLMModel,
)

from taskkit import CheckpointError, Classes, DataSpec, Example, SourceError, TaskkitError
from taskkit_speech import pretrained, sections
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.heads import Classifier, Pretrainer, Recogniser
from taskkit_speech.wav2vec2 import Wav2vec2
from taskkit_transformers.weights import _download

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 12],
    "conv_kernel": [10, 4],
    "conv_stride": [5, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 9,
}
SPEAKING = DataSpec(Audio(8000), Transcript(), "f")


@pytest.fixture
def folder(tmp_path):
    """A folder as transformers writes one, of a fine-tuned Wav2Vec2."""
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL))
    model.save_pretrained(tmp_path / "hf")
    (tmp_path / "hf" / "preprocessor_config.json").write_text('{"sampling_rate": 4000, "do_normalize": false}')
    return tmp_path / "hf", model


def made(spec=SPEAKING, texts=("ab c",), **settings):
    torch.manual_seed(1)
    model = Wav2vec2(sections.Wav2vec2(**settings))
    processor = model.processor(spec)
    processor.fit([Example(str(n), None, text) for n, text in enumerate(texts)])
    return model, processor, model.network(spec, processor)


@pytest.mark.parametrize(
    ("target", "head", "outputs"),
    [(Transcript(), Recogniser, 5), (Classes(("a", "b", "c")), Classifier, 3), (Masked(), Pretrainer, None)],
)
def test_the_head_is_what_the_target_asks_for(target, head, outputs):
    _, _, network = made(DataSpec(Audio(8000), target, "f"))
    assert isinstance(network, head)
    assert outputs is None or network.head.out_features == outputs


def test_a_small_network_hears_at_the_rate_of_the_data_or_its_own():
    assert made()[1].front_end.sample_rate == 8000
    assert made(sample_rate=4000)[1].front_end.sample_rate == 4000
    assert made(DataSpec(Audio(None), Transcript(), "f"))[1].front_end.sample_rate == 16000


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_every_family_is_built_from_scratch_and_rebuilt_from_its_state(family):
    model, processor, network = made(family=family, layers=1, width=16, heads=2)
    again = model.processor(SPEAKING)
    again.load_state_dict(pickle.loads(pickle.dumps(processor.state_dict())))
    rebuilt = model.network(SPEAKING, again)
    rebuilt.load_state_dict(network.state_dict())
    batch = {"audio": torch.randint(-99, 99, (1, 4000), dtype=torch.int16), "audio_length": torch.tensor([4000])}
    assert network.encoder.config.model_type == family
    with torch.inference_mode():
        assert torch.equal(network.eval()(**batch).logits, rebuilt.eval()(**batch).logits)


def test_weights_rate_and_scale_come_from_a_folder(folder):
    path, theirs = folder
    model, processor, network = made(weights=str(path))
    (origin,) = model.load_pretrained(network, processor)
    assert processor.front_end[1:] == (4000, False)
    state = theirs.wav2vec2.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.encoder.state_dict().items())
    assert network.head.out_features == 5
    assert origin.source == str(path)


@pytest.mark.parametrize(("config", "kind"), [(HubertConfig, HubertModel), (WavLMConfig, WavLMModel)])
def test_hubert_and_wavlm_are_loaded_too(tmp_path, config, kind):
    kind(config(**SMALL)).save_pretrained(tmp_path / "hf")
    model, processor, network = made(weights=str(tmp_path / "hf"))
    model.load_pretrained(network, processor)
    assert processor.front_end[1:] == (16000, True)
    assert network.encoder.config.hidden_size == 16


def test_a_run_is_rebuilt_without_the_folder(folder):
    _, processor, network = made(weights=str(folder[0]))
    model = Wav2vec2(sections.Wav2vec2(weights="/gone"))
    again = model.processor(SPEAKING)
    again.load_state_dict(json.loads(json.dumps(processor.state_dict())))
    model.network(SPEAKING, again).load_state_dict(network.state_dict())


def test_the_configuration_can_be_changed_and_a_wrong_name_is_told(folder):
    _, _, network = made(weights=str(folder[0]), overrides={"hidden_dropout": 0.3}, dropout=0.2)
    assert network.encoder.config.hidden_dropout == 0.3
    assert network.encoder.config.attention_dropout == 0.2
    with pytest.raises(TaskkitError, match=r"model\.overrides: .*no 'hiden_dropout'"):
        made(weights=str(folder[0]), overrides={"hiden_dropout": 0.3})


def test_a_network_from_scratch_can_be_changed_and_a_wrong_name_is_told():
    _, _, network = made(overrides={"hidden_dropout": 0.3, "feat_extract_norm": "group"})
    assert network.encoder.config.hidden_dropout == 0.3
    with pytest.raises(TaskkitError, match=r"model\.overrides: the configuration of wav2vec2 has no 'hiden_dropout'"):
        made(overrides={"hiden_dropout": 0.3})


@pytest.mark.parametrize(
    "overrides",
    [
        {"hidden_size": 33},
        {"hidden_size": "big"},
        {"conv_dim": [8]},
        {"hidden_act": "gellu"},
        {"conv_stride": [5, 0]},
        {"num_attention_heads": 0},
        {"model_type": "hubert"},
    ],
)
def test_a_network_that_cannot_be_built_names_its_overrides(folder, overrides):
    for settings in (
        {"weights": str(folder[0])},
        {"conv_widths": [8, 8], "conv_kernels": [9, 4], "conv_strides": [5, 2]},
    ):
        with pytest.raises(TaskkitError, match=rf"model\.overrides: .*{next(iter(overrides))}"):
            made(overrides=overrides, **settings)


def test_an_adapter_which_would_not_be_run_is_refused(tmp_path):
    Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL, add_adapter=True)).save_pretrained(tmp_path / "hf")
    with pytest.raises(TaskkitError, match=r"model\.weights: .*hf has an adapter.*add_adapter: false"):
        made(weights=str(tmp_path / "hf"))
    model, processor, network = made(weights=str(tmp_path / "hf"), overrides={"add_adapter": False})
    model.load_pretrained(network, processor)
    with pytest.raises(TaskkitError, match=r"model\.overrides: the network has an adapter"):
        made(overrides={"add_adapter": True})


def test_weights_that_the_hub_does_not_give_are_told_with_the_cause(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"some/where on the model hub: .*LocalEntryNotFoundError: "):
        made(weights="some/where")


def test_weights_that_lack_a_layer_are_refused(folder):
    path, _ = folder
    model, processor, network = made(weights=str(path), overrides={"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"lack encoder\.layers\.2"):
        model.load_pretrained(network, processor)


def test_a_model_of_another_kind_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(TaskkitError, match="is a bert model"):
        made(weights=str(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoConfig": "code.Config", "AutoModel": "code.Model"}),
        ("_attn_implementation_internal", "some/kernel"),
        ("attn_implementation", "some/kernel"),
        ("parts", [{"text_config": {"auto_map": {"AutoModel": "code.Model"}}}]),
    ],
)
def test_a_folder_that_names_code_to_be_run_is_refused(folder, key, value):
    path, _ = folder
    donor = shutil.copytree(path, path.parent / "donor")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, key: value}))
    (path / "code.py").write_text(f"from pathlib import Path\nPath({str(path / 'ran')!r}).touch()\n")
    named = "auto_map" if key == "parts" else key
    with pytest.raises(CheckpointError, match=rf"hf: config\.json has '{named}', which names .*code.*model\.weights"):
        made(weights=str(path))
    for settings in ({"weights": str(donor)}, {}):
        with pytest.raises(CheckpointError, match=rf"model\.overrides has '{named}'"):
            made(overrides={key: value}, **settings)
    assert not (path / "ran").exists()


def test_what_is_fetched_from_the_hub_is_kept_and_may_not_name_code_either(folder, tmp_path):
    path, _ = folder  # transformers fetches a model by its name on the hub or its folder alike
    for name in ("kept", "other"):
        (tmp_path / name).mkdir()
    _download(str(path), pretrained._save_extractor, True, tmp_path / "kept")
    kept = {file.name for file in (tmp_path / "kept").iterdir()}
    assert kept == {"config.json", "model.safetensors", "preprocessor_config.json"}
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "code.Model"}}))
    with pytest.raises(CheckpointError, match=r"config\.json has 'auto_map'"):
        _download(str(path), pretrained._save_extractor, True, tmp_path / "other")


def test_a_checkpoint_that_names_a_kernel_is_refused():
    model, processor, _ = made()
    state = json.loads(json.dumps(processor.state_dict()))
    state["shape"]["parts"] = {"_attn_implementation": "some/kernel"}
    again = model.processor(SPEAKING)
    again.load_state_dict(state)
    with pytest.raises(CheckpointError, match="this encoder's shape has '_attn_implementation'"):
        model.network(SPEAKING, again)


def test_a_folder_is_read_without_the_code_that_comes_with_its_preprocessor(folder):
    path, _ = folder
    extractor = {"sampling_rate": 4000, "do_normalize": False, "auto_map": {"AutoFeatureExtractor": "code.Extractor"}}
    (path / "preprocessor_config.json").write_text(json.dumps(extractor))
    (path / "code.py").write_text(f"from pathlib import Path\nPath({str(path / 'ran')!r}).touch()\n")
    assert made(weights=str(path))[1].front_end[1:] == (4000, False)
    assert not (path / "ran").exists()


def test_a_trained_run_gives_its_body_and_for_the_same_alphabet_its_head(whistler):
    donor = whistler.built.network
    model, processor, network = made(weights=str(whistler.path), texts=["aeiot "])
    (origin,) = model.load_pretrained(network, processor)
    assert processor.front_end == whistler.built.processor.front_end
    assert all(torch.equal(value, donor.state_dict()[name]) for name, value in network.state_dict().items())
    assert origin.source == str(whistler.path)
    model, processor, network = made(weights=str(whistler.path), texts=["another"])
    model.load_pretrained(network, processor)
    assert network.head.out_features == 8
    assert torch.equal(network.encoder.masked_spec_embed, donor.encoder.masked_spec_embed)


def test_the_blocks_are_the_layers_of_the_transformer():
    model, _, network = made()
    assert model.blocks(network) == list(network.encoder.encoder.layers)


def test_settings_must_agree_with_the_weights(folder):
    made(weights=str(folder[0]), layers=2, sample_rate=4000)
    with pytest.raises(TaskkitError, match=r"has num_hidden_layers 2; .* asks for 7"):
        made(weights=str(folder[0]), layers=7)
    # The sizes of codebooks and of the perceptron follow from the width, and were not asked for.
    made(weights=str(folder[0]), width=16, heads=2, position_groups=2)
    with pytest.raises(TaskkitError, match=r"has intermediate_size 24; .* asks for 48"):
        made(weights=str(folder[0]), width=16, heads=2, position_groups=2, mlp_ratio=3.0)
    with pytest.raises(TaskkitError, match="has sample_rate 4000"):
        made(weights=str(folder[0]), sample_rate=8000)


def test_shapes_that_cannot_be_are_problems():
    assert "does not divide" in dict(sections.Wav2vec2(heads=5).problems())["heads"]
    assert "differ in length" in dict(sections.Wav2vec2(conv_widths=[8]).problems())["conv_kernels"]
    assert "overlap" in dict(sections.Wav2vec2(window=4.0, overlap=2.0).problems())
    assert list(sections.Wav2vec2().problems()) == []
