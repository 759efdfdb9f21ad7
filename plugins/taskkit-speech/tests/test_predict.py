import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import taskkit

SENTENCES = ["tea to eat", "a toe", "it ate", "oat tie", "i tao", "eta iota"]


@pytest.fixture(scope="session")
def said(whistled_text, tmp_path_factory):
    """Whistle sentences into a file, with a hum and a pause after each, and return its path."""
    folder = tmp_path_factory.mktemp("said")

    def write(*sentences, pause=0.6):
        samples = [part for text in sentences for part in (whistled_text(text + " "), np.zeros(round(pause * 8000)))]
        path = folder / f"{len(list(folder.iterdir()))}.wav"
        soundfile.write(path, np.concatenate(samples), 8000)
        return str(path)

    return write


def test_a_run_learns_and_says_so(whistler):
    assert whistler.metrics["test/wer"] == 0
    assert whistler.metrics["test/cer"] == 0
    rows = whistler.predictions().to_pylist()
    assert all(row["target"] == row["prediction"] and row["word_errors"] == 0 for row in rows)


def test_each_clip_is_transcribed(whistler, said):
    answers = whistler.predict([said(sentence) for sentence in SENTENCES])
    assert [answer["prediction"] for answer in answers] == SENTENCES


def test_a_long_file_has_the_words_of_its_clips_whatever_the_windows_cut(whistler, said):
    for pause in (0.0, 0.13, 0.31, 0.47):
        (answer,) = whistler.predict([said(*SENTENCES, *SENTENCES, pause=pause)])
        assert answer["prediction"] == " ".join([*SENTENCES, *SENTENCES])


def test_words_have_times(whistler, said):
    (answer,) = whistler.predict([said("tea to", "eat")], times=True)
    assert answer["text"] == "tea to eat"
    words = answer["prediction"]
    assert [word["word"] for word in words] == ["tea", "to", "eat"]
    # A letter or a blank takes 0.13 s, the quiet at both ends of a sentence 0.1 s, and the pause 0.6 s.
    assert [word["start"] for word in words] == pytest.approx([0.1, 0.62, 1.81], abs=0.08)
    # The network says a letter while it lasts, perhaps at its beginning alone.
    assert [word["end"] for word in words] == pytest.approx([0.49, 0.88, 2.2], abs=0.13)


def test_times_of_a_long_file_go_on_through_its_windows(whistler, said):
    path = said(*SENTENCES, *SENTENCES)
    (answer,) = whistler.predict([path], times=True)
    starts = [word["start"] for word in answer["prediction"]]
    assert starts == sorted(starts)
    assert starts[-1] > 9
    assert answer["prediction"][-1]["end"] < soundfile.info(path).duration


def test_the_command_line_prints_transcripts_and_times(whistler, said):
    path = said("tea to eat")
    command = [sys.executable, "-m", "taskkit", "predict", str(whistler.path), path, "--times", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told["input"] == path
    assert told["text"] == "tea to eat"
    assert [word["word"] for word in told["prediction"]] == ["tea", "to", "eat"]


def test_options_are_looked_at_before_the_recordings(whistler):
    with pytest.raises(taskkit.TaskkitError, match=r"--words: .*Add --beam 50"):
        whistler.predict(["none.wav"], words="words.txt")
    pytest.importorskip("flashlight")
    with pytest.raises(taskkit.DataError, match=r"words\.txt: it cannot be read: No such file"):
        whistler.predict(["none.wav"], words="words.txt", beam=50)


def test_a_file_that_is_missing_is_named(whistler):
    with pytest.raises(taskkit.DataError, match=r"none\.wav"):
        whistler.predict(["none.wav"])
