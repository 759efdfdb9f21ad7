import resource
import time

import pytest
import torch

from taskkit import Classes, DataSpec, Example
from taskkit_text import sections
from taskkit_text.facts import Text
from taskkit_text.lstm import BothWays, Lstm, NGrams

TEXTS = ["a good film", "good", "a very bad film indeed", "bad"]


def built(texts=TEXTS, pairs=False, **settings):
    spec = DataSpec(Text(pairs), Classes(("x", "y")), "f")
    model = Lstm(sections.Lstm(**{"embedding": 8, "width": 6, "depth": 2, "round_to": 4, "dropout": 0.0, **settings}))
    processor = model.processor(spec)
    examples = [Example(str(number), text, number % 2) for number, text in enumerate(texts)]
    processor.fit(examples)
    torch.manual_seed(0)
    return model, processor, model.network(spec, processor), examples


def logits(processor, network, examples):
    batch = processor.collate([processor.encode(example)[0] for example in examples])
    return network(**{name: tensor for name, tensor in batch.items() if name != "target"})


def test_both_ways_is_torchs_bidirectional_lstm_of_each_text_alone():
    ours, theirs = BothWays(5, 3), torch.nn.LSTM(5, 3, batch_first=True, bidirectional=True)
    there, back = ours.forwards.state_dict(), ours.backwards.state_dict()
    theirs.load_state_dict({**there, **{f"{name}_reverse": value for name, value in back.items()}})
    tokens, lengths = torch.randn(3, 7, 5), torch.tensor([7, 1, 4])
    together = ours(tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, _ = theirs(tokens[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0])


@pytest.mark.parametrize("ngrams", [1, 3])
def test_an_answer_does_not_depend_on_the_padding(ngrams):
    _, processor, network, examples = built(ngrams=ngrams, buckets=50)
    if ngrams > 1:
        torch.nn.init.normal_(network.ngrams.embed.weight)
    alone = torch.cat([logits(processor, network, [example]) for example in examples])
    torch.testing.assert_close(logits(processor, network, examples), alone)


def test_every_weight_gets_a_gradient():
    _, processor, network, examples = built()
    logits(processor, network, examples).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_n_grams_are_those_that_begin_at_a_token_and_end_in_the_text():
    ngrams = NGrams(longest=3, buckets=1000, width=4)
    assert not ngrams.embed.weight.any()
    torch.nn.init.normal_(ngrams.embed.weight)
    tokens, mask = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 0]]), torch.tensor([[True] * 4, [True, True, True, False]])
    first, second = ngrams(tokens, mask)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])  # 6 7 8 and 6 7
    assert not second[2:].any()
    assert torch.equal(ngrams(torch.tensor([[6, 7]]), mask[:1, :2])[0, 0], second[1])


def test_the_vocabulary_is_that_of_the_training_texts():
    _, processor, network, _ = built(tokens="words")
    assert processor.tokenizer.encode("very good book").tokens[:3] == ["very", "good", "[UNK]"]
    assert network.embed.num_embeddings == processor.tokenizer.get_vocab_size()


@pytest.mark.parametrize("text", ["abcdefghij" * 1_000_000, "abcde fghi " * 1_000_000], ids=["solid", "words"])
def test_a_cell_of_ten_megabytes_costs_seconds_and_is_counted_as_truncated(text):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    _, processor, _, examples = built([*TEXTS, text], vocabulary=60)
    (sample,) = processor.encode(examples[-1])
    assert time.perf_counter() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # kilobytes
    assert int(sample["flag_truncated"]) == 1


def test_chinese_is_read_by_characters():
    _, processor, _, _ = built(["很好", "非常不好"])
    assert processor.tokenizer.encode("不好").tokens == ["不", "好", "[END]"]


def test_a_run_is_rebuilt_from_its_state():
    model, processor, network, examples = built()
    spec = DataSpec(Text(), Classes(("x", "y")), "f")
    again = model.processor(spec)
    again.load_state_dict(processor.state_dict())
    rebuilt = model.network(spec, again)
    rebuilt.load_state_dict(network.state_dict())
    torch.testing.assert_close(logits(again, rebuilt, examples), logits(processor, network, examples))


@pytest.mark.parametrize("pairs", [False, True])
def test_a_few_steps_learn_a_batch_by_heart(pairs):
    texts = [(text, "and more") for text in TEXTS] if pairs else TEXTS
    _, processor, network, examples = built(texts, pairs)
    target = torch.tensor([example.target for example in examples])
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-2)
    for _ in range(40):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits(processor, network, examples), target)
        loss.backward()
        optimiser.step()
    assert loss < 0.1


def test_blocks_are_the_layers():
    model, _, network, _ = built()
    assert len(model.blocks(network)) == 2
