from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import taskkit


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small are quickest on one thread, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing that a test remembers outlives it."""
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recordings(tmp_path):
    """Write recordings of noise, each different, by their paths below a folder."""
    random = np.random.default_rng(0)

    def write(*names: str, seconds=1.0, rate=16000, channels=1, loudness=0.1) -> Path:
        root = tmp_path / "recordings"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = random.standard_normal((round(seconds * rate), channels)) * loudness
            soundfile.write(path, noise.clip(-1, 1), rate)
        return root

    return write


TONES = {" ": 250, "a": 500, "e": 900, "i": 1500, "o": 2300, "t": 3200}
"""The pitch of each letter of a whistled language, in Hz; even a blank is hummed."""


def whistled(text, rate=8000):
    """The samples of a text: a tone of 0.1 s and a gap of 0.03 s for each letter, 0.1 s of quiet before and after."""
    time = np.arange(rate // 10) / rate
    tones = [0.4 * np.hanning(len(time)) ** 0.3 * np.sin(2 * np.pi * TONES[letter] * time) for letter in text]
    gap, silence = np.zeros(round(0.03 * rate)), np.zeros(rate // 10)
    samples = np.concatenate([silence, *(part for tone in tones for part in (tone, gap)), silence])
    return samples + 0.003 * np.random.default_rng(len(text)).standard_normal(len(samples))


@pytest.fixture(scope="session")
def whistled_text():
    """The samples of a whistled text, at 8 kHz."""
    return whistled


@pytest.fixture(scope="session")
def whistles(tmp_path_factory):
    """A table of whistled recordings and their transcripts."""
    folder, random = tmp_path_factory.mktemp("whistles"), np.random.default_rng(1)
    rows = ["path,text,split"]
    for number in range(120):
        words = ["".join(random.choice(list("aeiot"), random.integers(1, 4))) for _ in range(random.integers(1, 4))]
        soundfile.write(folder / f"{number}.wav", whistled(" ".join(words)), 8000)
        split = "train" if number < 96 else "val" if number < 108 else "test"
        rows.append(f"{number}.wav,{' '.join(words)},{split}")
    (folder / "whistles.csv").write_text("\n".join(rows) + "\n")
    return folder / "whistles.csv"


WHISTLING = """
title: Whistles
task: {name: speech.ctc}
model:
  name: speech.wav2vec2
  conv_widths: [32, 32]
  conv_kernels: [160, 3]
  conv_strides: [80, 2]
  layers: 1
  width: 32
  heads: 2
  position_kernel: 8
  mask_time: 0.0
  dropout: 0.0
  window: 3.0
  overlap: 1.0
data: {name: speech.table, table: TABLE}
loader: {batch_size: 8, cache: false}
optim: {lr: 8.0e-3, warmup: 0.1}
trainer: {max_epochs: 20, check_val_every_n_epoch: 10, precision: 32-true, accelerator: cpu}
"""


@pytest.fixture(scope="session")
def whistler(whistles, tmp_path_factory):
    """A finished run that transcribes whistles without an error."""
    folder = tmp_path_factory.mktemp("whistler")
    (folder / "whistles.yaml").write_text(WHISTLING.replace("TABLE", str(whistles)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        return taskkit.run(folder / "whistles.yaml", out=folder / "run")
