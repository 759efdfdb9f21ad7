"""The settings of a tone, and the fact that it needs."""

from dataclasses import dataclass

from taskkit import Fact, setting


@dataclass(frozen=True)
class Sound(Fact):
    """Waveforms of one sample rate, in Hz."""

    rate: int


@dataclass
class Tone:
    """Settings of `sound.tone`."""

    pitch: float = setting(440.0, "frequency in Hz", gt=0)
