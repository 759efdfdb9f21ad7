"""One loss and one gradient, however the texts of a batch are put together."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from taskkit import Classes, DataSpec, Example, TaskkitError
from taskkit_text import sections
from taskkit_text.facts import Text
from taskkit_text.transformer import Transformer
from taskkit_transformers import ATTENTION

KINDS = ["bert", "roberta", "distilbert", "modernbert"]
TEXTS = [
    "the cat sat on the mat and all dogs bark at the cat",
    "dogs bark",
    "no cat",
    "the dog sat on the mat",
    "a cat sat on the cat and the dog",
]


def examples(pairs=False):
    inputs = [(text, other) for text, other in zip(TEXTS, reversed(TEXTS), strict=True)] if pairs else TEXTS
    return [Example(str(number), given, number % 3) for number, given in enumerate(inputs)]


def built(folder, pairs=False, **settings):
    spec = DataSpec(Text(pairs), Classes(("a", "b", "c")), "f")
    settings = {"max_length": 64, "dropout": 0.0, "head_dropout": 0.0, "round_to": 8, **settings}
    model = Transformer(sections.Transformer(str(folder), **settings))
    processor = model.processor(spec)
    processor.fit([])
    torch.manual_seed(1)
    network = model.network(spec, processor)
    list(model.load_pretrained(network, processor))
    return processor, network


def batch_of(processor, chosen):
    return processor.collate([sample for example in chosen for sample in processor.encode(example)])


def loss_of(network, batch):
    inputs = {name: tensor for name, tensor in batch.items() if name != "target"}
    return F.cross_entropy(network(**inputs), batch["target"], reduction="sum")


def trained(network, batches):
    """The loss over all texts, and its gradients by name."""
    network.zero_grad()
    loss = sum(loss_of(network, batch) for batch in batches)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_the_same_alone_padded_bucketed_and_packed(encoder_folder, kind, pooling):
    processor, network = built(encoder_folder(kind), pooling=pooling)
    packing, packed = built(encoder_folder(kind), pooling=pooling, packed=True)
    network.encoder.set_attn_implementation("eager")
    texts = examples()
    loss, gradients = trained(network, [batch_of(processor, [text]) for text in texts])
    assert gradients.keys() == dict(network.named_parameters()).keys()
    ways = {
        "padded": (built(encoder_folder(kind), pooling=pooling)[1], [batch_of(processor, texts)]),
        "bucketed": (network, [batch_of(processor, texts[1:3]), batch_of(processor, [texts[i] for i in (0, 3, 4)])]),
        "packed": (packed, [batch_of(packing, texts)]),
    }
    for way, (other, batches) in ways.items():
        same_loss, same_gradients = trained(other, batches)
        torch.testing.assert_close(same_loss, loss, rtol=1e-5, atol=1e-5, msg=way)
        torch.testing.assert_close(same_gradients, gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_packed_as_they_are_padded(encoder_folder, kind):
    processor, network = built(encoder_folder(kind), pairs=True)
    packing, packed = built(encoder_folder(kind), pairs=True, packed=True)
    texts = examples(pairs=True)
    padded, together = batch_of(processor, texts), batch_of(packing, texts)
    assert ("token_type_ids" in padded) == ("token_type_ids" in together) == (kind == "bert")
    torch.testing.assert_close(loss_of(packed, together), loss_of(network, padded))


@pytest.mark.parametrize("kind", KINDS)
def test_these_encoders_take_attention_of_ours(encoder_folder, kind):
    for packed in (False, True):
        _, network = built(encoder_folder(kind), packed=packed)
        assert network.encoder.config._attn_implementation == ATTENTION


def test_an_encoder_with_attention_of_its_own_keeps_it_and_is_padded(encoder_folder):
    processor, network = built(encoder_folder("deberta-v2"))
    assert network.encoder.config._attn_implementation != ATTENTION
    texts = examples()
    together = loss_of(network, batch_of(processor, texts))
    alone = sum(loss_of(network, batch_of(processor, [text])) for text in texts)
    torch.testing.assert_close(together, alone)


def test_an_encoder_that_cannot_be_packed_says_so(encoder_folder):
    with pytest.raises(TaskkitError, match=r"texts cannot be packed for deberta-v2.*Set model\.packed to false"):
        built(encoder_folder("deberta-v2"), packed=True)


def test_a_packed_batch_holds_no_padding_and_positions_begin_again(encoder_folder):
    packing, _ = built(encoder_folder(), packed=True)
    samples = [packing.encode(example)[0] for example in examples()]
    batch = packing.collate(samples)
    lengths = [packing.length(sample) for sample in samples]
    assert packing.layout == "packed"
    assert batch["input_ids"].shape == (1, sum(lengths))
    assert packing.padded_size(batch) == sum(lengths)
    assert batch["offsets"].diff().tolist() == lengths
    assert batch["position_ids"][0].tolist() == [place for length in lengths for place in range(length)]


def test_nothing_is_masked_where_nothing_is_padded(encoder_folder):
    processor, _ = built(encoder_folder(), round_to=1)
    texts = examples()
    assert "attention_mask" not in batch_of(processor, [texts[1], texts[1]])
    mask = batch_of(processor, texts)["attention_mask"]
    assert mask.sum(dim=1).tolist() == [processor.length(processor.encode(text)[0]) for text in texts]


def test_lengths_are_rounded_up_so_that_shapes_are_few(encoder_folder):
    processor, _ = built(encoder_folder(), max_length=60, round_to=16)
    assert [processor.padded_length(length) for length in (1, 16, 17, 48, 49, 60)] == [16, 16, 32, 48, 60, 60]
    assert batch_of(processor, examples())["input_ids"].shape == (5, 16)
