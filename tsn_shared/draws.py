"""Random numbers as a pure function of (seed, epoch, clip, slot): the Philox4x32-10 counter-based generator.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw depends on nothing but its own key, so the
world size, the batch size, the number of threads and a restart change nothing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Uint32 = npt.NDArray[np.uint32]
Int64 = npt.NDArray[np.int64]
Word = Any
"""A word below 2**32, or many: a Python int, a NumPy array of uint64, a torch tensor of int64. They share operators."""

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_SHIFT = np.uint64(32)

_BLOCK = 1 << 18  # clips whose draws are made at once: the generator takes some 200 bytes a clip

PERMUTATION, AUGMENTATION, DROPOUT, BALANCE = 0, 1, 2, 2**32 - 1
"""The last counter word: what a draw is for, so that two purposes never share a number. Dropout layer k has 2 + k."""


def philox_words(counter: tuple[Word, Word, Word, Word], seed: int) -> tuple[Word, Word, Word, Word]:
    """Return the four words of Philox4x32-10 of four counter words, broadcast against each other.

    Of each counter word the low 32 bits count.
    """
    # the masks come first: a product of plain positions would be folded by Inductor into 32-bit index arithmetic
    x0, x1, x2, x3 = [word & _LOW for word in counter]
    key0, key1 = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(10):
        # of 64 bits: an int64 wraps, and the masks take what is right
        product0, product1 = _MULTIPLIERS[0] * x0, _MULTIPLIERS[1] * x2
        x0, x1, x2, x3 = (
            ((product1 >> 32) & _LOW) ^ x1 ^ key0,
            product1 & _LOW,
            ((product0 >> 32) & _LOW) ^ x3 ^ key1,
            product0 & _LOW,
        )
        key0, key1 = (key0 + _KEY_STEPS[0]) & _LOW, (key1 + _KEY_STEPS[1]) & _LOW
    return x0, x1, x2, x3


def philox(counter: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike], seed: int) -> Uint32:
    """Return Philox4x32-10 of four broadcast counter words below 2**32: uint32, shape (..., 4)."""
    x0, x1, x2, x3 = (np.asarray(word).astype(np.uint64) for word in counter)
    words = np.broadcast_arrays(*philox_words((x0, x1, x2, x3), seed))
    return np.stack(words, axis=-1).astype(np.uint32)


def clip_draws(*, seed: int, epoch: npt.ArrayLike, clip: npt.ArrayLike, slots: int) -> Uint32:
    """Return `slots` uniform 32-bit draws for each clip in its epoch: shape (B, slots).

    Slot k of a clip is the same number however many slots are asked for.
    """
    epoch, clip = np.asarray(epoch, dtype=np.int64), np.asarray(clip, dtype=np.int64)
    blocks = np.arange((slots + 3) // 4)
    words = philox((clip[:, None], np.broadcast_to(epoch, clip.shape)[:, None], blocks[None, :], AUGMENTATION), seed)
    return words.reshape(len(clip), -1)[:, :slots]


def below(draws: Uint32, bound: npt.ArrayLike) -> Int64:
    """Map uniform 32-bit draws to integers in [0, bound): floor(draw * bound / 2**32), biased by < bound / 2**32."""
    return (draws.astype(np.uint64) * np.asarray(bound, dtype=np.uint64) >> _SHIFT).astype(np.int64)


def permutation(*, seed: int, epoch: int, size: int, purpose: int = PERMUTATION) -> Int64:
    """Return the order of an epoch, a permutation of range(size): the clips sorted by a 64-bit draw of their own."""
    keys = np.empty(size, dtype=np.uint64)
    for start in range(0, size, _BLOCK):
        clips = np.arange(start, min(start + _BLOCK, size))
        words = philox((clips, epoch, 0, purpose), seed).astype(np.uint64)
        keys[clips] = words[:, 0] << _SHIFT | words[:, 1]
    return np.argsort(keys, kind="stable")
