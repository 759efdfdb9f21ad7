import torch

from taskkit_speech.masks import distractors, seeded, spans, valid


def runs(row):
    """The lengths of the stretches of true in a row."""
    edges = torch.nn.functional.pad(row.int(), (1, 1)).diff().nonzero()[:, 0].view(-1, 2)
    return (edges[:, 1] - edges[:, 0]).tolist()


def test_spans_cover_the_share_and_stay_within_each_length():
    torch.manual_seed(0)
    lengths = torch.tensor([400, 100, 12, 9, 0] * 50)
    masked = spans(lengths, 400, share=0.3, span=10)
    assert not (masked & ~valid(lengths, 400)).any()
    # Spans overlap: of a share of 0.3 without overlap about 1 - exp(-0.3) is left.
    assert abs(masked[::5].float().mean() - 0.26) < 0.02
    assert all(run >= 10 for row in masked for run in runs(row))
    assert not masked[3::5].any()


def test_each_row_has_its_least_number_of_spans_where_they_fit():
    masked = spans(torch.tensor([50, 11, 10, 9]), 50, share=0.0, span=10, least=2)
    assert (masked.sum(dim=1) >= torch.tensor([11, 11, 10, 0])).all()
    assert not masked[3].any()


def test_no_share_masks_nothing():
    assert not spans(torch.full((64,), 30), 30, share=0.0, span=5).any()


def test_spans_are_drawn_from_torchs_own_generator():
    draw = lambda: spans(torch.full((4,), 90), 90, 0.3, 5)  # noqa: E731
    torch.manual_seed(3)
    first = draw()
    assert not torch.equal(first, draw())
    torch.manual_seed(3)
    assert torch.equal(first, draw())


def test_what_a_seed_draws_depends_neither_on_other_seeds_nor_on_the_size():
    assert torch.equal(seeded([3, 5], 90)[1], seeded([5], 90)[0])
    assert torch.equal(seeded([5], 20, 4)[0], seeded([5], 90, 4)[0, :20])
    short = spans(torch.tensor([50]), 60, 0.3, 5, chance=seeded([5], 61))
    long = spans(torch.tensor([90, 50]), 90, 0.3, 5, chance=seeded([1, 5], 91))
    assert short.any()
    assert torch.equal(short[0], long[1, :60])
    first = distractors(short, 7, seeded([5], 60, 7))[0]
    second = distractors(long, 7, seeded([1, 5], 90, 7))[1, :60]
    assert torch.equal(first[short[0]], second[short[0]])


def test_distractors_are_other_masked_places_of_the_row_all_alike():
    torch.manual_seed(0)
    masked = torch.zeros(2, 12, dtype=torch.bool)
    masked[0, [1, 4, 5, 9]] = True
    masked[1, 3:] = True
    drawn = distractors(masked, 3000)
    assert masked.gather(1, drawn.flatten(1)).view_as(drawn)[masked].all()
    own = torch.arange(12)[None, :, None]
    assert not (drawn == own)[masked].any()
    counts = drawn[0, 4].bincount(minlength=12)[[1, 5, 9]]
    assert (counts - 1000).abs().max() < 120


def test_a_row_of_one_masked_place_gives_that_and_does_not_fail():
    masked = torch.tensor([[False, True, False]])
    assert (distractors(masked, 4)[0, 1] == 1).all()
