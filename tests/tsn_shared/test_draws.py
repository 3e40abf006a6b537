import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.tsn_shared import draws
from tsn.tsn_shared.draws import AUGMENTATION, BALANCE, DROPOUT, PERMUTATION, below, clip_draws, permutation, philox

WORD = st.integers(0, 2**32 - 1)
SEED = st.integers(0, 2**64 - 1)


def plain_philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 on Python's integers, from the paper's figure."""
    for round_ in range(10):
        k0, k1 = (key[0] + round_ * 0x9E3779B9) % 2**32, (key[1] + round_ * 0xBB67AE85) % 2**32
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [p1 // 2**32 ^ counter[1] ^ k0, p1 % 2**32, p0 // 2**32 ^ counter[3] ^ k1, p0 % 2**32]
    return counter


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # the known answers of Random123, the authors' own library
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    assert tuple(philox(counter, key[0] | key[1] << 32)) == expected


@given(st.tuples(WORD, WORD, WORD, WORD), SEED)
def test_philox_agrees_with_plain_integers(counter: tuple[int, int, int, int], seed: int) -> None:
    assert philox(counter, seed).tolist() == plain_philox(list(counter), [seed % 2**32, seed >> 32])


@given(
    seed=SEED,
    keys=st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)), min_size=1, max_size=20),
    slots=st.integers(1, 13),
)
def test_a_draw_depends_on_its_own_key_alone(seed: int, keys: list[tuple[int, int]], slots: int) -> None:
    epochs, clips = np.array([epoch for epoch, _ in keys]), np.array([clip for _, clip in keys])
    together = clip_draws(seed=seed, epoch=epochs, clip=clips, slots=slots)
    assert together.shape == (len(keys), slots)
    for row, (epoch, clip) in enumerate(keys):
        for slot in (0, slots - 1):
            expected = plain_philox([clip, epoch, slot // 4, AUGMENTATION], [seed % 2**32, seed >> 32])[slot % 4]
            assert together[row, slot] == expected


@given(draw=WORD, bound=st.integers(0, 2**31))
def test_below_is_the_scaled_draw_rounded_down(draw: int, bound: int) -> None:
    assert below(np.array([draw], dtype=np.uint32), bound).tolist() == [draw * bound // 2**32]


@given(
    seed=SEED,
    epoch=st.integers(0, 2**31 - 1),
    size=st.integers(0, 300),
    block=st.one_of(st.just(draws._BLOCK), st.integers(1, 300)),
)
def test_permutation_orders_clips_by_their_own_64_bits(seed: int, epoch: int, size: int, block: int) -> None:
    """In as many blocks as they are drawn: of the real size, 262,144 clips, nobody would draw them one by one here."""
    words = [plain_philox([clip, epoch, 0, PERMUTATION], [seed % 2**32, seed >> 32]) for clip in range(size)]
    expected = sorted(range(size), key=lambda clip: words[clip][:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "_BLOCK", block)
        assert permutation(seed=seed, epoch=epoch, size=size).tolist() == expected


def test_what_draws_are_for_shares_no_number() -> None:
    """The order of an epoch, its frames and crops, its dropout: each has numbers of its own."""
    assert len({PERMUTATION, AUGMENTATION, DROPOUT, BALANCE}) == 4
    assert max(PERMUTATION, AUGMENTATION) < DROPOUT < BALANCE - 2**16  # whose layers count on from there
    assert (
        permutation(seed=3, epoch=1, size=50).tolist()
        != permutation(seed=3, epoch=1, size=50, purpose=BALANCE).tolist()
    )
    words = clip_draws(seed=3, epoch=1, clip=np.arange(50), slots=2).astype(np.uint64)
    as_augmented = np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")
    assert permutation(seed=3, epoch=1, size=50).tolist() != as_augmented.tolist()


def test_epochs_and_seeds_give_different_orders() -> None:
    orders = {tuple(permutation(seed=seed, epoch=epoch, size=50)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def chi_square(values: np.ndarray, cells: int) -> float:
    counts = np.bincount(values, minlength=cells)
    assert len(counts) == cells
    expected = len(values) / cells
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("slot", range(6))
def test_draws_are_uniform(slot: int) -> None:
    draws = clip_draws(seed=1, epoch=0, clip=np.arange(40_000), slots=6)[:, slot]
    assert chi_square(below(draws, 40), 40) < 72.1  # 39 degrees of freedom, p = 0.001


def test_draws_of_neighbouring_keys_are_independent() -> None:
    """Pairs of draws that differ in one word of their key fill a 20 x 20 table evenly."""
    clips = np.arange(40_000)
    base = clip_draws(seed=5, epoch=3, clip=clips, slots=2)
    neighbours = {
        "slot": base[:, 1],
        "clip": clip_draws(seed=5, epoch=3, clip=clips + 1, slots=1)[:, 0],
        "epoch": clip_draws(seed=5, epoch=4, clip=clips, slots=1)[:, 0],
        "seed": clip_draws(seed=6, epoch=3, clip=clips, slots=1)[:, 0],
    }
    for name, other in neighbours.items():
        table = below(base[:, 0], 20) * 20 + below(other, 20)
        assert chi_square(table, 400) < 490.0, name  # 399 degrees of freedom, p = 0.001


def test_every_place_of_a_permutation_is_as_likely_for_every_clip() -> None:
    places = np.array([permutation(seed=seed, epoch=0, size=6) for seed in range(6_000)])
    for clip in range(6):
        assert chi_square(np.argmax(places == clip, axis=1), 6) < 20.5  # 5 degrees of freedom, p = 0.001
