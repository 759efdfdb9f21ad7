"""What answers rest on: of runs of each modality, with sums that are checked and maps that weights decide."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import taskkit
from taskkit.answering.network import NetworkAnswerer
from taskkit.contracts.explained import Explained
from taskkit.explanation.calls import Attention
from taskkit.explanation.explain import explain_examples
from taskkit.report.explanations import report

pytest.importorskip("captum")
OLD = Path(__file__).parent.parent / "runs" / "0.1"
SPOKEN, DRAWN, WRITTEN = "data/recordings/00.wav", "data/images/across", "Day 3: it is grey and stormy in Perth"


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Copies of old runs of each modality in the working directory, with their data."""
    folder = tmp_path_factory.mktemp("runs") / "old"
    shutil.copytree(OLD, folder)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder.parent / "cache"))
        yield


def explained(name: str, method: str | None = None, **options: Any) -> taskkit.Explanation:
    inputs = {"image": DRAWN, "text": WRITTEN, "speech": SPOKEN, "recsys": ()}[name]
    asked = {"user": "u01"} if name == "recsys" and "user" not in options else {}
    return taskkit.explain(taskkit.load_run(name), inputs, method=method, **asked, **options)[0]


@pytest.mark.parametrize("name", ["image", "text", "recsys"])
def test_integrated_gradients_add_up_to_what_changed(name: str) -> None:
    found = explained(name)
    assert found.method == "integrated-gradients"
    assert found.sum is not None
    assert found.sum.holds
    assert found.sum.change != 0
    assert found.sum.tolerance == pytest.approx(max(0.01 * abs(found.sum.change), 1e-3))


@pytest.mark.parametrize("name", ["image", "text", "recsys", "speech"])
def test_shapley_values_add_up_exactly(name: str) -> None:
    found = explained(name, "shap")
    assert found.sum is not None
    assert found.sum.attributed == pytest.approx(found.sum.change, abs=1e-4)


def test_a_sum_that_does_not_hold_is_told_and_another_method_chosen() -> None:
    # Clips are normalised, so that nearly all of the change lies where the sound is next to nothing.
    asked = explained("speech", "integrated-gradients")
    assert asked.sum is not None
    assert not asked.sum.holds
    found = explained("speech")
    assert found.method == "shap"
    assert "integrated-gradients: attributions add up to" in found.settings["instead of"]


def test_a_page_says_that_a_sum_does_not_hold() -> None:
    asked = explained("speech", "integrated-gradients")
    assert "of 1 inputs do not add up" in report([asked], "speech")


def test_the_number_explained_is_that_of_the_answer() -> None:
    run = taskkit.load_run("text")
    (answer,) = run.predict(WRITTEN)
    given = explained("text")
    other = explained("text", target="bad" if answer["prediction"] == "good" else "good")
    assert given.answer == answer["prediction"]
    shares = torch.tensor([given.score, other.score]).softmax(0)
    assert float(shares[0]) == pytest.approx(answer["probability"], abs=1e-5)
    assert other.parts[0].values != given.parts[0].values


def test_each_word_of_a_text_has_a_number_and_together_they_are_the_text() -> None:
    part = explained("text").parts[0]
    assert part.kind == "text"
    assert "".join(part.names[:-1]) == WRITTEN
    assert len(part.values) == len(part.names)


def test_a_history_is_explained_by_titles_and_one_wanted_item_by_its_title() -> None:
    found = explained("recsys")
    titles = taskkit.load_run("recsys").built.processor.histories.titles
    assert found.parts[0].kind == "items"
    assert set(found.parts[0].names) <= set(titles)
    assert explained("recsys", target=titles[2]).answer == titles[2]


def test_the_answer_that_is_explained_is_the_one_that_the_options_give() -> None:
    run, told = taskkit.load_run("recsys"), set[str]()
    for filter_seen in (True, False):
        (answer,) = run.predict(user="u06", top=1, filter_seen=filter_seen)
        found = explained("recsys", "occlusion", user="u06", filter_seen=filter_seen)
        assert found.answer == answer["prediction"][0]["title"]
        told.add(found.answer)
    assert len(told) == 2, "the answer does not depend on the option"


def test_taking_an_item_away_does_not_move_the_others() -> None:
    # A free place inside a window would make the network look for the last item elsewhere, which changes every answer.
    run = taskkit.load_run("recsys")
    found = explained("recsys", "occlusion").parts[0]
    assert len(found.names) > 2
    values = sorted(map(abs, found.values))
    assert values[0] < values[-1] / 3
    assert run.predict(user="u01")[0]["prediction"]


def test_words_of_a_transcript_lie_where_they_are_spoken() -> None:
    found = explained("speech", "occlusion")
    assert [word.text for word in found.words] == found.answer.split()
    assert all(0 <= word.start < word.end <= 1 for word in found.words)
    assert found.seconds == pytest.approx(0.46, abs=0.4)


def test_a_method_that_says_nothing_of_a_network_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        taskkit.TaskkitError, match=r"grad-cam says nothing of it.*Try integrated-gradients or occlusion"
    ):
        explained("text", "grad-cam")
    with pytest.raises(taskkit.TaskkitError, match="attention follows the last convolution"):
        explained("image", "grad-cam")
    with pytest.raises(taskkit.TaskkitError, match="attends nowhere"):
        explained("text", "attention-rollout")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "gradcam"}, "Did you mean 'grad-cam'"),
        ({"target": "ugly"}, "no class of this run. Name one of bad, good"),
    ],
)
def test_what_there_is_not_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(taskkit.TaskkitError, match=said):
        explained("text", **options)


def ranks_alike(one: Any, other: Any) -> float:
    return float(spearmanr(torch.tensor(one).flatten().abs(), torch.tensor(other).flatten().abs()).statistic)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "shap"])
def test_random_weights_destroy_a_map_and_the_same_weights_repeat_it(method: str) -> None:
    """The sanity check of Adebayo et al. (2018)."""
    run = taskkit.load_run("image")
    found = taskkit.explain(run, DRAWN, method=method, target="across")[0].parts[0].values
    again = taskkit.explain(taskkit.load_run("image"), DRAWN, method=method, target="across")[0].parts[0].values
    assert again == found
    torch.manual_seed(0)
    for parameter in run.built.network.parameters():
        nn.init.normal_(parameter, std=0.3)
    random = taskkit.explain(run, DRAWN, method=method, target="across")[0].parts[0].values
    assert ranks_alike(found, random) < 0.5


def test_the_nearest_training_example_of_one_is_itself() -> None:
    run = taskkit.load_run("text")
    data = Path("data/texts.csv").read_text().splitlines()
    row = next(line for line in data[1:] if line.endswith("train"))
    found = taskkit.explain(run, row.split('"')[1], method="neighbours")[0]
    assert found.neighbours[0].similarity == pytest.approx(1, abs=1e-5)
    assert found.neighbours[0].target == row.split(",")[-2]
    assert [n.similarity for n in found.neighbours] == sorted((n.similarity for n in found.neighbours), reverse=True)


def test_rollout_sees_torch_attention_as_torch_weighs_it() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 5, 8)
    with Attention() as seen:
        attention(x, x, x, need_weights=False)
        query = x.unflatten(-1, (2, 4)).transpose(1, 2)
        nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    _, weights = attention(x, x, x)
    assert torch.allclose(seen.weights[0], weights, atol=1e-6)
    assert seen.weights[1].triu(1).abs().max() == 0
    assert torch.allclose(seen.weights[1].sum(-1), torch.ones(1, 5))


def test_a_convolution_over_a_picture_has_a_map_of_it() -> None:
    run = taskkit.load_run("image")
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )

    class Convolved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network

        def forward(self, image: Tensor) -> Tensor:
            answer: Tensor = self.layers(image.float() / 255)
            return answer

    task = run.built.task
    task.network = Convolved()
    built = replace(run.built, network=task.network, task=task)
    answerer = NetworkAnswerer(built, torch.device("cpu"), run.answerer.autocast)
    example = run.requests(DRAWN).examples[0]
    (found,) = explain_examples(answerer, [example], answerer.predict_options[1](), method="grad-cam")
    values = torch.tensor(found.parts[0].values)
    assert values.shape == example_size(built, example)
    assert values.min() >= 0
    assert found.settings["layer"] == "layers.1"


def example_size(built: Any, example: taskkit.Example) -> tuple[int, ...]:
    return tuple(built.processor.encode(example)[0]["image"].shape[1:])


def test_a_task_that_answers_one_number_for_each_choice_needs_no_code() -> None:
    class Chooses(taskkit.Task[Any, Any]):
        headline = taskkit.Headline("m", "max")
        step = metrics = None  # type: ignore[assignment]

    task = Chooses(None, nn.Identity(), None, None)  # type: ignore[arg-type]
    found: Explained = task.explained({}, torch.tensor([[0.1, 0.7, 0.2]]), None, None)
    assert found.answer == "1"
    assert found.score(torch.eye(3)).tolist() == [0, 1, 0]
    with pytest.raises(taskkit.TaskkitError, match=r"Write `Task\.explained`"):
        task.explained({}, {"boxes": torch.ones(1)}, None, None)


def test_the_command_line_writes_a_page_and_json(environment: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    import sys

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "taskkit", "explain", *arguments]
        return subprocess.run(words, capture_output=True, text=True, env=environment())

    page = tmp_path / "a.html"
    done = call("text", "<script>alert(1)</script> sunny", "-o", str(page))
    assert done.returncode == 0, done.stderr
    html = page.read_text()
    assert "<script>alert" not in html
    assert "&lt;" in html
    assert "attributions add up to" in html
    told = call("speech", SPOKEN, "--method", "integrated-gradients", "--json")
    assert told.returncode == 1
    assert "not alike within" in told.stderr
    found = json.loads(told.stdout)
    assert found["sum"]["holds"] is False
    assert len(found["parts"][0]["values"]) <= 256
