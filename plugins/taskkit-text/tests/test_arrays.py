"""What texts become without torch is what they become with it."""

import pytest
import torch

from taskkit import Classes, DataSpec, Example
from taskkit_text.arrays import BagArrays, TokenArrays
from taskkit_text.bag import BagProcessor
from taskkit_text.facts import Text
from taskkit_text.lstm import LstmProcessor
from taskkit_text.sections import Bag, Lstm

TEXTS = ["the cat sat on the mat", "the dog", "a cat and a dog and a mat sat there for long", "zebra"]
PAIRS = [(text, TEXTS[0]) for text in TEXTS]


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(
    ("processor_of", "arrays_of", "section"),
    [
        (BagProcessor, BagArrays, Bag(ngrams=2, min_count=1, max_characters=30)),
        (LstmProcessor, TokenArrays, Lstm(tokens="words", max_length=8, truncate="head_tail", round_to=4)),
    ],
)
def test_a_text_becomes_the_same_samples_and_batches(processor_of, arrays_of, section, pairs):
    spec = DataSpec(Text(pairs), Classes(("a", "b")), "print")
    examples = [Example(str(n), text) for n, text in enumerate(PAIRS if pairs else TEXTS)]
    processor = processor_of(spec, section)
    processor.fit(examples[:3])
    arrays = arrays_of(section, spec, processor.state_dict())
    samples, others = ([made.encode(each)[0] for each in examples] for made in (processor, arrays))
    for sample, other in zip(samples, others, strict=True):
        assert sample.keys() == other.keys()
        assert all(torch.equal(tensor, torch.from_numpy(other[name])) for name, tensor in sample.items())
        assert processor.length(sample) == arrays.length(other)
    inputs = [{n: v for n, v in each.items() if not n.startswith("flag_")} for each in samples]
    batch = processor.complete(processor.collate(inputs))
    other = arrays.collate([{n: v for n, v in each.items() if not n.startswith("flag_")} for each in others])
    assert batch.keys() == other.keys()
    assert all(torch.equal(tensor, torch.from_numpy(other[name])) for name, tensor in batch.items())
