import io

import numpy as np
import pytest
import soundfile

from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio


def heard(shown):
    ((said, sound),) = shown.items()
    assert sound.suffix == ".flac"
    return said, *soundfile.read(io.BytesIO(sound.content), dtype="int16")


def test_a_short_recording_is_heard_whole_and_bit_for_bit(tmp_path):
    recorded = np.random.default_rng(0).integers(-3000, 3000, 12000, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", recorded, 8000)
    said, samples, rate = heard(Audio().show(tmp_path / "a.wav"))
    assert (said, rate) == ("1.5 s", 8000)
    assert np.array_equal(samples, recorded)


@pytest.mark.parametrize(("clip", "first"), [({}, 0), ({"start": 3.0, "end": 15.0}, 3)])
def test_of_a_long_one_the_beginning_is_heard_and_that_is_said(tmp_path, clip, first):
    soundfile.write(tmp_path / "a.wav", np.repeat(np.linspace(-0.9, 0.9, 20), 44100), 44100)
    said, samples, rate = heard(Audio().show(Clip(tmp_path / "a.wav", **clip)))
    assert said == ("the first 8 of 20.0 s" if not clip else "the first 8 of 12.0 s")
    assert (len(samples), rate) == (8 * 16000, 16000)
    assert samples[8000] / 32768 == pytest.approx(np.linspace(-0.9, 0.9, 20)[first], abs=1e-3)
