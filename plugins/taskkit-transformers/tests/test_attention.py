import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F  # noqa: N812

from taskkit_transformers import ATTENTION, attention, fresh_model, read_configuration, use_attention

WINDOW = 3


def texts(tokens, dtype=torch.float32, device="cpu", heads=2, width=16):
    torch.manual_seed(0)
    return torch.randn(3, 1, heads, tokens, width, dtype=dtype, device=device).requires_grad_()


def expected(query, key, value, window=None):
    place = torch.arange(query.shape[-2], device=query.device)
    near = None if window is None else (place[:, None] - place).abs() < window
    return F.scaled_dot_product_attention(query, key, value, attn_mask=near).transpose(1, 2)


@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("masked", [False, True])
def test_in_bfloat16_on_a_cpu_it_is_that_of_torch(masked, window):
    query, key, value = torch.randn(3, 2, 2, 20, 16).bfloat16()
    mask = torch.ones(2, 1, 1, 20, dtype=torch.bool)
    mask[1, :, :, 12:] = not masked
    place = torch.arange(20)
    seen = mask & ((place[:, None] - place).abs() < (window or 20))
    ours = attention.attend(query, key, value, mask if masked else None, scale=0.25, window=window)
    theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=0.25)
    inside = mask[:, :, 0, :, None].expand_as(ours)
    assert torch.allclose(ours[inside], theirs[inside], atol=0.03)


def test_dropout_leaves_the_mean_as_it_is():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 1, 1, 8, 16).bfloat16()[0].repeat(3, 1, 1, 1, 1)
    dropped = torch.stack([attention.attend(query, key, value, None, 0.25, dropout=0.5) for _ in range(400)])
    assert dropped.float().std(dim=0).min() > 0
    assert torch.allclose(dropped.float().mean(dim=0), expected(query, key, value).transpose(1, 2).float(), atol=0.3)


@pytest.mark.parametrize("window", [None, WINDOW])
def test_packed_texts_do_not_see_each_other(window):
    query, key, value = texts(9)
    offsets = torch.tensor([0, 4, 9], dtype=torch.int32)
    packed, _ = attention.attention(
        torch.nn.Module(), query, key, value, None, sliding_window=window, cu_seq_lens_q=offsets, max_length_q=5
    )
    alone = [
        expected(*(tensor[:, :, first:last] for tensor in (query, key, value)), window)
        for first, last in ((0, 4), (4, 9))
    ]
    assert torch.allclose(packed, torch.cat(alone, dim=1), atol=1e-6)


def test_on_cuda_the_kernel_is_handed_what_it_takes():
    """Its shapes, without a device: the answer's is that of the query, with heads and tokens exchanged."""
    with FakeTensorMode():
        query, key, value = texts(9, torch.bfloat16, "cuda")
        offsets = torch.tensor([0, 4, 9], dtype=torch.int32, device="cuda")
        packed, _ = attention.attention(
            torch.nn.Module(), query, key, value, None, sliding_window=WINDOW, cu_seq_lens_q=offsets, max_length_q=5
        )
    assert packed.shape == (1, 9, 2, 16)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("window", [None, WINDOW])
def test_on_cuda_it_is_what_it_is_text_by_text(window):
    query, key, value = texts(9, torch.bfloat16, "cuda")
    offsets = torch.tensor([0, 4, 9], dtype=torch.int32, device="cuda")
    options = {"sliding_window": window, "cu_seq_lens_q": offsets, "max_length_q": 5}
    packed, _ = attention.attention(torch.nn.Module(), query, key, value, None, **options)
    slowly, _ = attention.attention(torch.nn.Module(), query.float(), key.float(), value.float(), None, **options)
    assert torch.allclose(packed.float(), slowly, atol=0.03)


def test_a_model_that_asks_it_says_what_it_said_before(folder):
    settings = read_configuration(folder)
    ours, own = fresh_model(settings).eval(), fresh_model(settings).eval()
    own.load_state_dict(ours.state_dict())
    use_attention(ours)
    given = torch.randint(16, (2, 400)) if settings["model_type"] == "bert" else torch.randn(2, 400)
    with torch.inference_mode():
        assert torch.allclose(ours(given).last_hidden_state, own(given).last_hidden_state, atol=1e-5)
    assert ours.config._attn_implementation == ATTENTION
