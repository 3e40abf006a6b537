"""Run by test_ranks.py: two ranks of which the second is late; prints what the first one's end says to the user."""

import sys
import time
from datetime import timedelta

import torch

import tsn.train.ranks.group as module
from tsn.train.ranks.processes import run_processes
from tsn.tsn_shared.errors import TsnError


def be_late() -> None:
    """Sum twice, the second rank later than the first waits."""
    module.COLLECTIVE_TIMEOUT = timedelta(seconds=3)
    with module.joined(on_gpu=False) as ranks:
        ranks.sum(torch.ones(1))
        if ranks.rank == 1:
            time.sleep(60)
        ranks.sum(torch.ones(1))


if __name__ == "__main__":
    try:
        run_processes(be_late, processes=2)
    except TsnError as error:
        sys.stdout.write(f"{error}\n")
