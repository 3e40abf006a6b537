"""Which clips an epoch serves, and in which order: each once, or those of rare classes more often.

A pure function of (seed, epoch); the clip at a position is the position's place in it. So a run that goes on, on any
number of ranks and with any batch size, serves what it would have served.
"""

import numpy as np
import numpy.typing as npt

from tsn.tsn_shared.draws import BALANCE, Int64, permutation, philox

POWERS = {"none": 1.0, "sqrt": 0.5, "full": 0.0}
"""A class of n clips is drawn in proportion to n to this power: as often as it has clips, by the root of that, or each
class alike (Kang et al., "Decoupling representation and classifier", ICLR 2020, equation 1)."""


def epoch_order(labels: npt.NDArray[np.integer], *, seed: int, epoch: int, balance: str) -> Int64:
    """Return the clips (N,) of an epoch, in its order, given the label of each of the N clips there are."""
    order = permutation(seed=seed, epoch=epoch, size=len(labels))
    return order if balance == "none" else balanced(labels, seed=seed, epoch=epoch, power=POWERS[balance])[order]


def balanced(labels: npt.NDArray[np.integer], *, seed: int, epoch: int, power: float) -> Int64:
    """Return N draws of the N clips, class after class: each class in proportion to its number of clips to a power.

    Systematic sampling: a class whose share of N draws is x has floor(x) or ceil(x) of them, x on the average over
    epochs. Within a class as well no clip is drawn twice before all are drawn once; which ones are drawn once more is
    drawn for each epoch. With a power of 1 each clip is drawn once.
    """
    size, counts = len(labels), np.bincount(labels)
    shares = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    ends = np.cumsum(shares)
    ends = ends * size / ends[-1]  # in this order whole numbers stay whole
    ends[-1] = size
    offset = int(philox((0, epoch, 1, BALANCE), seed)[0]) / 2**32
    times = np.diff(np.floor(ends + offset).astype(np.int64), prepend=0)
    mixed = permutation(seed=seed, epoch=epoch, size=size, purpose=BALANCE)
    by_class = mixed[np.argsort(labels[mixed], kind="stable")]
    classes = np.repeat(np.arange(len(counts)), times)
    turns = np.arange(size) - np.repeat(np.cumsum(times) - times, times)  # counts a class's draws from 0
    firsts = np.cumsum(counts) - counts
    drawn: Int64 = by_class[firsts[classes] + turns % counts[classes]]
    return drawn
