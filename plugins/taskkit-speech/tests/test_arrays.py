"""What is read of recordings without torch is what is read with it."""

import numpy as np
import pytest
import soundfile
import torch

from taskkit import DataSpec, Example, TaskkitError
from taskkit_speech.arrays import CtcArrays, SpeechArrays
from taskkit_speech.ctc import Ctc, Emissions
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.processor import FrontEnd, SpeechProcessor
from taskkit_speech.sections import Ctc as Section
from taskkit_speech.sections import CtcOptions, Wav2vec2

SHAPE = {"conv_kernel": [10, 3], "conv_stride": [5, 2]}
SPEC = DataSpec(Audio(), Transcript(), "print")
SECTION = Wav2vec2(window=0.1, overlap=0.05)


@pytest.fixture
def examples(tmp_path):
    random = np.random.default_rng(0)
    made = []
    for number, seconds in enumerate((0.05, 0.35)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, random.uniform(-0.5, 0.5, int(seconds * 16_000)), 16_000)
        made.append(Example(str(number), path))
    return made


def both():
    processor = SpeechProcessor(SPEC, SECTION, lambda: FrontEnd(SHAPE, 8000, False))
    processor.fit([Example("a", None, target="ab c")])
    return processor, SpeechArrays(SECTION, SPEC, processor.state_dict())


def test_recordings_become_the_same_windows_and_batches(examples):
    processor, arrays = both()
    samples, others = ([each for e in examples for each in made.encode(e)] for made in (processor, arrays))
    assert len(samples) == len(others) > 4
    batch, other = processor.collate(samples), arrays.collate(others)
    assert batch.keys() == other.keys()
    assert all(torch.equal(tensor, torch.from_numpy(other[name])) for name, tensor in batch.items())


def test_windows_are_read_as_one_transcript_alike():
    processor, arrays = both()
    task, other = Ctc(Section(), torch.nn.Identity(), processor, SPEC), CtcArrays(Section(), SPEC, arrays, {}, {})
    logits = torch.randn(3, 9, 5, generator=torch.Generator().manual_seed(3))
    frames = torch.tensor([[0, 5, 2], [2, 9, 2], [0, 7, 1]])
    emissions = Emissions(logits.log_softmax(-1), torch.tensor([9, 9, 7]))
    expected = task.predict({"target_frames": frames}, emissions, [], CtcOptions())
    outputs = {"logits": logits.numpy(), "lengths": emissions.lengths.numpy()}
    found = other.predict({"target_frames": frames.numpy()}, outputs, [], CtcOptions())
    assert found[2] == expected[2]
    assert other.join(found[:2], CtcOptions()) == task.join(expected[:2], CtcOptions())


def test_options_that_need_torch_are_refused_and_a_beam_is_left_to_torch():
    _, arrays = both()
    with pytest.raises(TaskkitError, match="--times: an exported folder in ONNX reads greedily"):
        CtcArrays(Section(), SPEC, arrays, {}, {}).check_options(CtcOptions(times=True))
    assert not CtcArrays.answers(Section(beam=5))
