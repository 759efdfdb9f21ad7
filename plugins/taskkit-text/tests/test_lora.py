import pytest
import torch

from taskkit import Classes, DataSpec, Example, TaskkitError
from taskkit_text import sections
from taskkit_text.facts import Text
from taskkit_text.transformer import Transformer

SPEC = DataSpec(Text(), Classes(("a", "b", "c")), "f")


def built(folder, **settings):
    model = Transformer(sections.Transformer(str(folder), max_length=32, dropout=0.0, **settings))
    processor = model.processor(SPEC)
    processor.fit([])
    torch.manual_seed(1)
    network = model.network(SPEC, processor)
    list(model.load_pretrained(network, processor))
    return model, processor, network


def states(processor, network, text="the cat sat on the mat"):
    (sample,) = processor.encode(Example(text, text))
    with torch.no_grad():
        return network.eval().encoder(input_ids=sample["input_ids"][None].long()).last_hidden_state


def trainable(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert"])
def test_fresh_adapters_change_no_answer_and_the_weights_are_the_pretrained_ones(encoder_folder, kind):
    _, processor, plain = built(encoder_folder(kind))
    _, _, adapted = built(encoder_folder(kind), lora=sections.Lora())
    torch.testing.assert_close(states(processor, adapted), states(processor, plain))


def test_only_the_adapters_and_the_head_are_trained(encoder_folder):
    _, _, network = built(encoder_folder(), lora=sections.Lora(rank=4))
    learnt = trainable(network)
    assert {"head.linear.weight", "head.linear.bias"} < learnt
    assert all("lora_" in name for name in learnt if not name.startswith("head."))
    assert {network.get_parameter(name).shape for name in learnt if "lora_A" in name} == {(4, 16), (4, 24)}


def test_targets_are_last_names_of_layers(encoder_folder):
    _, _, network = built(encoder_folder(), lora=sections.Lora(targets=["query", "value"]))
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in trainable(network) if "lora_" in name}
    assert adapted == {"query", "value"}


def test_a_target_that_does_not_exist_is_refused_with_those_that_do(encoder_folder):
    with pytest.raises(TaskkitError, match=r"no linear layer .* called 'q_proj'\. Some of dense, key, query, value"):
        built(encoder_folder(), lora=sections.Lora(targets=["query", "q_proj"]))


def test_trained_adapters_are_rebuilt_from_the_state(encoder_folder):
    model, processor, network = built(encoder_folder(), lora=sections.Lora())
    for name in trainable(network):
        torch.nn.init.normal_(network.get_parameter(name))
    again = model.processor(SPEC)
    again.load_state_dict(processor.state_dict())
    rebuilt = model.network(SPEC, again)
    rebuilt.load_state_dict(network.state_dict())
    assert torch.equal(states(again, rebuilt), states(processor, network))
    assert trainable(rebuilt) == trainable(network)


def test_layers_are_still_known_as_blocks(encoder_folder):
    model, _, network = built(encoder_folder(), lora=sections.Lora())
    assert len(model.blocks(network)) == 2


def test_texts_are_packed_with_adapters_too(encoder_folder):
    _, processor, network = built(encoder_folder(), lora=sections.Lora(), packed=True)
    batch = processor.collate([processor.encode(Example(text, text))[0] for text in ("the cat", "a dog sat")])
    network(**batch).sum().backward()
    assert all(network.get_parameter(name).grad is not None for name in trainable(network))
