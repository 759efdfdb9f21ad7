import pytest
import torch
from transformers import AutoModel

from taskkit_speech.encoder import Masking, SpeechEncoder, build, frame_count, normalised, played

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 12],
    "conv_kernel": [10, 4],
    "conv_stride": [5, 2],
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 2,
}
SHAPES = {
    "wav2vec2, as base": {"model_type": "wav2vec2"},
    "wav2vec2, as large": {
        "model_type": "wav2vec2",
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    },
    "hubert, as base": {"model_type": "hubert", "feat_proj_layer_norm": False},
    "hubert, as large": {"model_type": "hubert", "feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "wavlm, as base": {"model_type": "wavlm"},
    "wavlm, as large": {"model_type": "wavlm", "feat_extract_norm": "layer", "do_stable_layer_norm": True},
}
NOTHING = Masking(0.0, 5, 0.0, 4)


@pytest.fixture(params=SHAPES)
def shape(request):
    torch.manual_seed(0)
    return SMALL | SHAPES[request.param]


def encoder(shape, masking=NOTHING, **options):
    torch.manual_seed(0)
    return SpeechEncoder(build(shape), masking, **options)


def clips(*lengths, size=None):
    torch.manual_seed(1)
    audio = torch.zeros(len(lengths), size or max(lengths), dtype=torch.int16)
    for row, length in zip(audio, lengths, strict=True):
        row[:length] = torch.randint(-9000, 9000, (length,), dtype=torch.int16)
    return audio, torch.tensor(lengths)


def test_it_says_what_transformers_own_model_says(shape):
    ours = encoder(shape).eval()
    theirs = AutoModel.from_config(ours.config, attn_implementation="eager").eval()
    theirs.load_state_dict(ours.state_dict())
    audio, lengths = clips(400)
    with torch.inference_mode():
        expected = theirs(normalised(audio / 2**15, lengths)).last_hidden_state
        assert torch.allclose(ours(audio, lengths).states, expected, atol=1e-5)


def test_padding_and_company_change_nothing(shape):
    network = encoder(shape).eval()
    audio, lengths = clips(400, 233, 61, size=700)
    with torch.inference_mode():
        together = network(audio, lengths)
        for row, length, frames, states in zip(audio, lengths, together.lengths, together.states, strict=True):
            alone = network(row[None, :length], length[None])
            assert alone.lengths.item() == alone.states.shape[1] == frames
            assert torch.allclose(alone.states[0], states[:frames], atol=1e-5)


def test_what_lies_beyond_a_clip_is_not_heard(shape):
    network = encoder(shape).eval()
    audio, lengths = clips(400, 233)
    noisy = audio.clone()
    noisy[1, 233:] = 5000
    with torch.inference_mode():
        quiet, loud = network(audio, lengths), network(noisy, lengths)
    assert torch.allclose(quiet.states[1, : quiet.lengths[1]], loud.states[1, : loud.lengths[1]], atol=1e-5)


def test_every_weight_gets_a_gradient(shape):
    network = encoder(shape, Masking(0.4, 2, 0.2, 4)).train()
    audio, lengths = clips(400, 233)
    network(audio, lengths).states.square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_frozen_feature_encoder_keeps_no_graph(shape):
    network = encoder(shape).train()
    network.feature_extractor.requires_grad_(False)
    features = network._features(torch.randn(1, 400), torch.tensor([400]))
    assert not features.requires_grad
    network(*clips(400)).states.sum().backward()
    assert all(p.grad is None for p in network.feature_extractor.parameters())


def test_masked_frames_are_hidden_from_the_transformer_and_not_from_the_convolutions():
    network = encoder(SMALL | SHAPES["wav2vec2, as large"]).eval()
    audio, lengths = clips(400)
    plain = network(audio, lengths)
    hidden = torch.arange(plain.features.shape[1])[None] % 7 < 3
    masked = network(audio, lengths, hidden)
    assert torch.equal(masked.masked, hidden)
    assert torch.equal(plain.features, masked.features)
    assert not torch.allclose(plain.states, masked.states)
    assert plain.masked is None


def test_layers_are_left_out_as_often_as_is_set_and_only_in_training():
    network = encoder(SMALL | SHAPES["wav2vec2, as large"], layer_drop=0.99999).eval()
    audio, lengths = clips(400)
    plain = network(audio, lengths).states
    assert torch.equal(plain, network(audio, lengths).states)
    dropped = network.train()(audio, lengths).states
    assert not torch.allclose(plain, dropped)
    # With all layers but the first left out, a change of the last one changes nothing.
    torch.manual_seed(5)
    before = network(audio, lengths).states
    torch.nn.init.zeros_(network.encoder.layers[-1].attention.v_proj.weight)
    torch.manual_seed(5)
    assert torch.equal(before, network(audio, lengths).states)


def test_nothing_waits_for_the_device():
    """No scalar is read in a training step: on a GPU each would be a wait."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
            return function(*args, **(kwargs or {}))

    network = encoder(SMALL | SHAPES["wav2vec2, as base"], Masking(0.4, 2, 0.2, 4), layer_drop=0.5, speed=0.1).train()
    audio, lengths = clips(400, 233)
    with Reads() as reads:
        network(audio, lengths).states.sum().backward()
    assert reads.count == 0


def test_it_compiles_in_one_graph():
    network = encoder(SMALL | SHAPES["wav2vec2, as base"], Masking(0.4, 2, 0.2, 4), layer_drop=0.5, speed=0.1).train()
    explained = torch._dynamo.explain(network)(*clips(400, 233))
    assert explained.graph_break_count == 0


def test_clips_are_normalised_each_by_itself():
    audio, lengths = clips(400, 233, size=700)
    scaled = normalised(audio / 2**15, lengths)
    for row, length in zip(scaled, lengths, strict=True):
        assert abs(row[:length].mean()) < 1e-4
        assert abs(row[:length].std(correction=0) - 1) < 1e-3
        assert not row[length:].any()


@pytest.mark.parametrize(("width", "groups"), [(32, 4), (24, 2), (64, 4)])
def test_half_precision_on_a_cpu_is_near_full_precision_however_narrow_its_groups(width, groups):
    changed = {"hidden_size": width, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": groups}
    network = encoder(SMALL | SHAPES["wav2vec2, as large"] | changed).eval()
    audio, lengths = clips(2000, 1500)
    with torch.inference_mode():
        full = network(audio, lengths).states
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(audio, lengths).states
    assert (half.float() - full).norm() < 0.03 * full.norm()


@pytest.mark.parametrize("half", [False, True])
def test_a_clip_too_short_for_a_frame_gives_none_and_no_nan(half):
    network = encoder(SMALL | SHAPES["wav2vec2, as base"]).train()
    audio, lengths = clips(400, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        frames = network(audio, lengths)
    assert frames.lengths.tolist() == [frame_count(torch.tensor(400), network.config), 0]
    assert frames.states.isfinite().all()


def test_a_clip_played_faster_is_shorter_and_higher():
    wave = torch.sin(torch.arange(8000) * 0.1)[None].repeat(64, 1)
    torch.manual_seed(0)
    audio, lengths = played(wave, torch.full((64,), 8000), 0.2)
    assert lengths.max() == 8000
    assert 8000 / 1.2 <= lengths.min() < 7000
    crossings = (audio[:, :6600].sign().diff(dim=1) != 0).sum(dim=1)
    assert torch.allclose(crossings / 6600, 0.1 / torch.pi * 8000 / lengths, rtol=0.03)


def test_a_clip_is_slowed_down_as_far_as_there_is_room():
    torch.manual_seed(0)
    _, lengths = played(torch.randn(64, 8000), torch.full((64,), 7000), 0.2)
    assert 7900 < lengths.max() <= 8000
