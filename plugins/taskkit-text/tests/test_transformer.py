import json
import os
import pickle
import shutil
from itertools import chain

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from taskkit import CheckpointError, Classes, DataError, DataSpec, Example, SourceError, TaskkitError
from taskkit_text import sections, weights
from taskkit_text.encoder import answer_padded
from taskkit_text.facts import Text
from taskkit_text.transformer import Transformer
from taskkit_transformers.weights import _download

SPEC = DataSpec(Text(), Classes(("a", "b", "c")), "f")
KINDS = ["bert", "roberta", "distilbert", "modernbert", "deberta-v2"]


def built(folder, spec=SPEC, **settings):
    model = Transformer(sections.Transformer(str(folder), **{"max_length": 32, **settings}))
    processor = model.processor(spec)
    processor.fit([])
    torch.manual_seed(1)
    network = model.network(spec, processor)
    return model, processor, network, list(model.load_pretrained(network, processor))


def logits(processor, network, *texts):
    batch = processor.collate([processor.encode(Example(text, text))[0] for text in texts])
    return network.eval()(**batch)


def trainable(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_from_a_folder_and_the_head_is_fresh(encoder_folder, kind):
    _, processor, network, (origin,) = built(encoder_folder(kind))
    stored = load_file(encoder_folder(kind) / "model.safetensors")
    own = network.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in stored.items() if name in own)
    assert set(own) <= set(stored)
    assert origin.source == str(encoder_folder(kind))
    assert len(origin.sha256) == 64
    assert logits(processor, network, "the cat", "a dog").shape == (2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_a_gradient(encoder_folder, kind):
    _, processor, network, _ = built(encoder_folder(kind))
    logits(processor, network, "the cat sat", "a dog").square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_the_layers_in_order_each_weight_once(encoder_folder, kind):
    model, _, network, _ = built(encoder_folder(kind))
    blocks = [[id(p) for p in block.parameters()] for block in model.blocks(network)]
    of_blocks = list(chain(*blocks))
    assert len(blocks) == 2
    assert len(set(of_blocks)) == len(of_blocks)
    order = [id(p) for p in network.parameters()]
    assert [order.index(number) for number in of_blocks] == sorted(map(order.index, of_blocks))


def test_a_run_is_rebuilt_from_its_state_when_the_folder_is_gone(encoder_folder, tmp_path):
    folder = shutil.copytree(encoder_folder(), tmp_path / "encoder")
    _, processor, network, _ = built(folder)
    shutil.rmtree(folder)
    state = json.loads(json.dumps(processor.state_dict()))
    model = Transformer(sections.Transformer(str(folder), max_length=32))
    again = model.processor(SPEC)
    again.load_state_dict(state)
    rebuilt = model.network(SPEC, again)
    rebuilt.load_state_dict(network.state_dict())
    assert torch.equal(logits(again, rebuilt, "the cat"), logits(processor, network, "the cat"))


def test_what_a_run_keeps_does_not_say_where_it_was_made(encoder_folder):
    _, processor, _, _ = built(encoder_folder())
    assert str(encoder_folder()) not in json.dumps(processor.state_dict())


def test_without_pretraining_the_shape_is_enough(encoder_folder, tmp_path):
    shutil.copy(encoder_folder() / "config.json", tmp_path)
    shutil.copy(encoder_folder() / "tokenizer.json", tmp_path)
    _, processor, network, origins = built(tmp_path, pretrained=False)
    assert origins == []
    assert logits(processor, network, "the cat").isfinite().all()


def test_a_vocabulary_file_is_enough_of_a_tokenizer(encoder_folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(encoder_folder() / name, tmp_path)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    _, processor, _, _ = built(tmp_path)
    assert processor.encode(Example("1", "Cats"))[0]["input_ids"].tolist() == [2, 5, 6, 3]


def test_overrides_change_the_shape(encoder_folder):
    _, _, network, _ = built(encoder_folder(), overrides={"num_hidden_layers": 1})
    assert len(network.encoder.encoder.layer) == 1


def test_an_override_that_does_not_exist_is_refused(encoder_folder):
    with pytest.raises(TaskkitError, match=r"model\.overrides: the configuration of bert has no 'num_layerz'"):
        built(encoder_folder(), overrides={"num_layerz": 1})


def test_an_override_that_the_weights_do_not_fit_is_refused(encoder_folder):
    with pytest.raises(CheckpointError, match=r"its weights lack encoder\.layer\.2"):
        built(encoder_folder(), overrides={"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match="its weights cannot be read as bert"):
        built(encoder_folder(), overrides={"intermediate_size": 12})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"hidden_size": 100}, "there can be no bert encoder .* heads"),
        ({"hidden_size": 17}, "there can be no bert encoder"),
        ({"hidden_size": "big"}, "cannot be a bert: .*hidden_size"),
        ({"hidden_size": -1}, "there can be no bert encoder"),
        ({"hidden_act": "foo"}, "there can be no bert encoder .*foo"),
        ({"max_position_embeddings": 2}, "there can be no bert encoder"),
        ({"vocab_size": 10}, "tokenizer knows 16 tokens, numbered up to 15, .* vocab_size of 10"),
        ({"vocab_size": 1000}, "tokenizer knows 16 tokens"),
        ({"model_type": "roberta"}, "would make another kind of encoder of this bert"),
    ],
)
def test_an_override_that_cannot_be_is_refused(encoder_folder, overrides, message):
    if overrides == {"hidden_size": 100}:
        overrides = {**overrides, "num_attention_heads": 3}
    with pytest.raises(TaskkitError, match=rf"(?s)model\.(overrides|weights).*{message}|{message}.*model\.overrides"):
        built(encoder_folder(), overrides=overrides, pretrained=False)


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("config.json", b"{", CheckpointError),
        ("config.json", b"{}", CheckpointError),
        ("config.json", b'{"model_type": "nonesuch"}', CheckpointError),
        ("config.json", None, SourceError),
        ("tokenizer.json", b"{}", DataError),
        ("tokenizer.json", b"junk", DataError),
        ("tokenizer.json", None, DataError),
        ("model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{", CheckpointError),
        ("model.safetensors", b"", CheckpointError),
        ("pytorch_model.bin", b"junk", CheckpointError),
    ],
)
def test_a_damaged_folder_is_one_error_that_names_the_setting(encoder_folder, tmp_path, file, content, error):
    folder = shutil.copytree(encoder_folder(), tmp_path / "encoder")
    if file == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(error, match=r"model\.weights") as raised:
        built(folder)
    assert str(folder) in str(raised.value)
    assert "leave it out" not in str(raised.value)


class Bomb:
    """A pickle that leaves a mark where it is opened as pickles are."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["archive", "pickle"])
def test_weights_that_are_a_pickle_of_code_are_refused_and_not_run(encoder_folder, tmp_path, form):
    folder = shutil.copytree(encoder_folder(), tmp_path / "encoder")
    (folder / "model.safetensors").unlink()
    bomb = {"weight": Bomb(tmp_path / "mark")}
    if form == "archive":
        torch.save(bomb, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(bomb))
    with pytest.raises(CheckpointError, match=r"model\.weights"):
        built(folder)
    assert not (tmp_path / "mark").exists()
    pickle.loads(pickle.dumps(bomb))
    assert (tmp_path / "mark").exists()


def test_an_empty_tokenizer_is_no_tokenizer(encoder_folder, tmp_path):
    folder = shutil.copytree(encoder_folder(), tmp_path / "encoder")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"holds no vocabulary: neither vocab\.txt nor tokenizer\.json is there"):
        built(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_holds_throughout_the_encoder(encoder_folder, kind):
    for share in (0.0, 0.3):
        _, _, network, _ = built(encoder_folder(kind), dropout=share)
        shares = [module.p for module in network.encoder.modules() if isinstance(module, torch.nn.Dropout)]
        shares += [module.drop_prob for module in network.encoder.modules() if hasattr(module, "drop_prob")]
        shares += [m.attention_dropout for m in network.encoder.modules() if hasattr(m, "attention_dropout")]
        assert set(shares) <= {share}


@pytest.mark.parametrize("kind", KINDS)
def test_freezing_keeps_the_embeddings_and_the_first_layers(encoder_folder, kind):
    model, _, network, _ = built(encoder_folder(kind), freeze_layers=1)
    first, second = model.blocks(network)
    assert not any(p.requires_grad for p in first.parameters())
    assert not any(p.requires_grad for p in network.encoder.get_input_embeddings().parameters())
    assert all(p.requires_grad for p in second.parameters())
    assert {"head.linear.weight", "head.linear.bias"} <= trainable(network)


def test_more_layers_than_there_are_cannot_be_frozen(encoder_folder):
    with pytest.raises(TaskkitError, match=r"model\.freeze_layers: 3 layers .* shows 2"):
        built(encoder_folder(), freeze_layers=3)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_texts_longer_than_the_learnt_positions_are_refused(encoder_folder, kind):
    built(encoder_folder(kind), max_length=64)
    with pytest.raises(DataError, match=r"model\.max_length: 65 tokens are more than the 64 positions"):
        built(encoder_folder(kind), max_length=65)


def test_weights_that_lack_a_layer_are_refused(encoder_folder, tmp_path):
    folder = shutil.copytree(encoder_folder(), tmp_path / "encoder")
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"its weights lack encoder\.layer\.1\.output\.dense\.weight"):
        built(folder)


def test_a_folder_without_weights_says_what_it_lacks(encoder_folder, tmp_path):
    shutil.copy(encoder_folder() / "config.json", tmp_path)
    with pytest.raises(SourceError, match=r"(?s)model\.weights=.*\.safetensors"):
        built(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_the_tokenizer_of_what_transformers_downloads_is_kept_beside_it(encoder_folder, tmp_path, kind):
    _download(str(encoder_folder(kind)), weights._save_tokenizer, True, tmp_path)
    _, processor, network, _ = built(tmp_path)
    _, _, original, _ = built(encoder_folder(kind))
    assert torch.equal(logits(processor, network, "the cat"), logits(processor, original, "the cat"))


@pytest.mark.slow
def test_minilm_arrives_by_its_name_and_knows_what_is_alike(monkeypatch):
    monkeypatch.delenv("TASKKIT_CACHE")
    _, processor, network, (origin,) = built("minilm", dropout=0.0)
    assert origin.licence == "Apache-2.0"
    texts = ["a man is eating pasta", "someone eats noodles", "the stock market fell on monday"]
    batch = processor.collate([processor.encode(Example(text, text))[0] for text in texts])
    states = answer_padded(network.eval().encoder, batch["attention_mask"], input_ids=batch["input_ids"])
    mask = batch["attention_mask"][..., None]
    meaning = torch.nn.functional.normalize((states * mask).sum(dim=1) / mask.sum(dim=1))
    alike = meaning @ meaning.T
    assert alike[0, 1] > 0.5 > 0.2 > alike[0, 2]


def test_a_folder_called_as_minilm_is_not_taken_for_it_without_a_word(encoder_folder, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(encoder_folder("bert"), tmp_path / "minilm")
    with monkeypatch.context() as patched:  # what is fetched is not at hand
        patched.setattr(weights, "find", lambda name, pretrained: (encoder_folder("roberta"), None))
        assert weights.shape("minilm", False)[0]["model_type"] == "roberta"
    assert "model.weights=minilm is the encoder of that name, which taskkit fetches, not the folder" in caplog.text
    caplog.clear()
    assert weights.shape("./minilm", False)[0]["model_type"] == "bert"
    assert not caplog.records


@pytest.mark.parametrize(
    ("section", "field"),
    [
        (sections.Transformer("./nowhere"), "weights"),
        (sections.Transformer("/nowhere/encoder"), "weights"),
    ],
)
def test_a_section_knows_what_makes_no_sense_in_it(section, field):
    assert {name for name, _ in section.problems()} == {field}


@pytest.mark.parametrize("name", ["minilm", "bert-base-uncased", "answerdotai/ModernBERT-base"])
def test_names_on_the_hub_make_sense(name):
    assert list(sections.Transformer(name).problems()) == []


def test_the_configuration_is_complete(encoder_folder):
    """Defaults of transformers may change; a run keeps those that it was trained with."""
    _, processor, _, _ = built(encoder_folder())
    saved = AutoConfig.from_pretrained(encoder_folder()).to_dict()
    assert {"hidden_act", "layer_norm_eps", "type_vocab_size"} <= processor.encoder.keys() & saved.keys()
