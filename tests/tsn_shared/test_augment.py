"""The crop rules against scalar loops over the published ones."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsn.tsn_shared.augment import CROP_SLOTS, centre_crops, ten_crops, three_crops, train_crops
from tsn.tsn_shared.draws import clip_draws

SIZES = st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=1, max_size=8)


def plain_sizes(height: int, width: int) -> list[tuple[int, int]]:
    edges = [int(min(height, width) * ratio) for ratio in (1, 0.875, 0.75, 0.66)]
    return [(h, w) for i, h in enumerate(edges) for j, w in enumerate(edges) if abs(i - j) <= 1]


def plain_offsets(height: int, width: int, crop_h: int, crop_w: int) -> list[tuple[int, int]]:
    dh, dw = (height - crop_h) // 4, (width - crop_w) // 4
    places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]  # corners and centre
    places += [(0, 2), (4, 2), (2, 0), (2, 4)]  # edges
    places += [(1, 1), (1, 3), (3, 1), (3, 3)]  # quarters
    return [(y * dh, x * dw) for y, x in places]


def plain_crop(height: int, width: int, draws: list[int]) -> tuple[list[int], bool]:
    pick = [draws[0] * 10 // 2**32, draws[1] * 13 // 2**32, draws[2] * 2 // 2**32]
    crop_h, crop_w = (max(edge, 1) for edge in plain_sizes(height, width)[pick[0]])
    y, x = plain_offsets(height, width, crop_h, crop_w)[pick[1]]
    return [y, x, crop_h, crop_w], bool(pick[2])


@given(SIZES, st.integers(0, 2**32))
def test_train_crops_follow_the_rule(sizes: list[tuple[int, int]], seed: int) -> None:
    heights, widths = (np.array(side) for side in zip(*sizes, strict=True))
    draws = clip_draws(seed=seed, epoch=0, clip=np.arange(len(sizes)), slots=CROP_SLOTS)
    crops, flips = train_crops(heights, widths, draws)
    expected = [plain_crop(h, w, row) for (h, w), row in zip(sizes, draws.tolist(), strict=True)]
    assert crops.tolist() == [crop for crop, _ in expected]
    assert flips.tolist() == [flip for _, flip in expected]


@given(SIZES, st.integers(0, 2**32))
def test_crops_lie_within_the_frame(sizes: list[tuple[int, int]], seed: int) -> None:
    heights, widths = (np.array(side) for side in zip(*sizes, strict=True))
    draws = clip_draws(seed=seed, epoch=0, clip=np.arange(len(sizes)), slots=CROP_SLOTS)
    for crops in (train_crops(heights, widths, draws)[0], centre_crops(heights, widths)):
        y, x, h, w = crops.T
        assert (crops[:, :2] >= 0).all()
        assert (crops[:, 2:] >= 1).all()
        assert (y + h <= heights).all()
        assert (x + w <= widths).all()


def test_all_ten_sizes_and_thirteen_places_are_drawn_alike() -> None:
    draws = clip_draws(seed=3, epoch=0, clip=np.arange(130_000), slots=CROP_SLOTS)
    crops, flips = train_crops(np.full(130_000, 256), np.full(130_000, 340), draws)
    sizes = plain_sizes(256, 340)
    expected = sorted((y, x, h, w) for h, w in sizes for y, x in plain_offsets(256, 340, h, w))
    assert sizes[0] == (256, 256)
    assert {edge for size in sizes for edge in size} == {256, 224, 192, 168}
    # a crop of the whole height has no room up or down: some of its places are the same
    drawn, counts = np.unique(crops, axis=0, return_counts=True)
    assert set(map(tuple, drawn.tolist())) == set(expected)
    share = np.array([expected.count(tuple(crop)) for crop in drawn.tolist()]) / 130
    assert ((counts - 130_000 * share) ** 2 / (130_000 * share)).sum() < 170  # at most 129 degrees of freedom, p < 0.01
    assert abs(flips.mean() - 0.5) < 0.005  # 3.6 standard deviations


@given(SIZES)
def test_centre_crops_are_central_squares(sizes: list[tuple[int, int]]) -> None:
    heights, widths = (np.array(side) for side in zip(*sizes, strict=True))
    for (height, width), (y, x, h, w) in zip(sizes, centre_crops(heights, widths).tolist(), strict=True):
        edge = max(int(min(height, width) * 224 / 256), 1)
        assert (h, w) == (edge, edge)
        assert (y, x) == (round((height - edge) / 2), round((width - edge) / 2))


def test_centre_crop_of_a_stored_frame_is_the_published_one() -> None:
    assert centre_crops([256], [340]).tolist() == [[16, 58, 224, 224]]


def test_ten_crops_of_a_stored_frame_are_centre_corners_and_their_flips() -> None:
    crops, flips = ten_crops([256], [340])
    five = [[16, 58, 224, 224], [0, 0, 224, 224], [0, 116, 224, 224], [32, 0, 224, 224], [32, 116, 224, 224]]
    assert crops.tolist() == [five + five]
    assert flips.tolist() == [[False] * 5 + [True] * 5]


def test_the_centre_of_ten_crops_goes_by_floor_division_where_validation_rounds() -> None:
    assert ten_crops([4], [7])[0][0, 0].tolist() == [0, 2, 3, 3]
    assert centre_crops([4], [7]).tolist() == [[0, 2, 3, 3]]
    assert ten_crops([11], [12])[0][0, 0].tolist() == [1, 1, 9, 9]
    assert centre_crops([11], [12]).tolist() == [[1, 2, 9, 9]]


def test_three_crops_are_left_middle_and_right_at_full_height() -> None:
    assert three_crops([256], [340]).tolist() == [[[0, 0, 256, 256], [0, 42, 256, 256], [0, 84, 256, 256]]]
    assert three_crops([340], [256]).tolist() == [[[0, 0, 256, 256], [42, 0, 256, 256], [84, 0, 256, 256]]]


@given(SIZES)
def test_test_crops_lie_within_the_frame(sizes: list[tuple[int, int]]) -> None:
    heights, widths = (np.array(side) for side in zip(*sizes, strict=True))
    for crops in (three_crops(heights, widths), ten_crops(heights, widths)[0]):
        y, x, h, w = np.moveaxis(crops, 2, 0)
        assert (crops[..., :2] >= 0).all()
        assert (h >= 1).all()
        assert (w == h).all()
        assert (y + h <= heights[:, None]).all()
        assert (x + w <= widths[:, None]).all()
