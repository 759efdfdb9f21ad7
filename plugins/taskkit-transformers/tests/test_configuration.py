import json

import pytest

from taskkit import CheckpointError, TaskkitError
from taskkit_transformers import fresh_model, overridden, read_configuration


def test_a_configuration_is_complete_plain_and_says_nothing_of_where_it_lay(folder):
    settings = read_configuration(folder)
    assert {"hidden_act", "layer_norm_eps", "intermediate_size"} <= settings.keys()
    assert json.loads(json.dumps(settings)) == settings
    assert str(folder) not in json.dumps(settings)


@pytest.mark.parametrize("content", ["{", "{}", '{"model_type": "nonesuch"}', None])
def test_a_file_that_holds_no_configuration_is_one_error_that_names_it(folder, content):
    file = folder / "config.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(
        CheckpointError, match=r"model\.weights: .*config\.json cannot be read: .*Correct model\.weights"
    ):
        read_configuration(folder)


def test_overrides_change_the_shape(folder):
    settings = read_configuration(folder)
    changed = overridden(settings, {"num_hidden_layers": 1})
    assert changed == {**settings, "num_hidden_layers": 1}
    assert len(fresh_model(changed).encoder.state_dict()) < len(fresh_model(settings).encoder.state_dict())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_layerz": 1}, "the configuration of .* has no 'num_layerz'. It has .* and others"),
        ({"hidden_size": "big"}, "cannot be a .*hidden_size"),
        ({"model_type": "roberta"}, "model_type=roberta would make another kind of encoder of this"),
    ],
)
def test_an_override_that_cannot_be_is_refused(folder, overrides, message):
    with pytest.raises(TaskkitError, match=rf"(?s)^model\.overrides: .*{message}"):
        overridden(read_configuration(folder), overrides)
