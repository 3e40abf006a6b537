"""Run by test_ranks.py: steps of the real trainer on real ranks (gloo) and real clips; prints each step's loss.

    python rank_steps.py FOLDER '{"ranks": 2, "batch_size": 6, "steps": 10}' '{"ranks": ...}' ...

The ranks are forks of this process, so torch is imported once. A job goes on from where the job before ended if it says
`"continue": true`, whatever its number of ranks.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.spawn import start_processes

from tsn.train.network.model import TSN

SIZE = 32


def network(*, norm: bool = False) -> TSN:
    """Return a small network with two dropout layers, and batch statistics if asked for, always the same."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * (SIZE // 4) ** 2, 64), nn.ReLU()]
    layers += [nn.BatchNorm1d(64)] if norm else []
    return TSN(nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 4)))


def steps_of_rank(rank: int, folder: Path, job: dict[str, Any], port: int) -> None:
    """Take the job's steps as one rank; the first writes the losses and the state."""
    import tsn.train.loaders as data
    from tsn.train.fit.contents import Tally, TrainingState
    from tsn.train.fit.trainer import Trainer
    from tsn.train.ranks.group import joined
    from tsn.tsn_shared.settings import TrainSettings
    from tsn.tsn_shared.splits import open_split

    ranks_there = job["ranks"]
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks_there), "MASTER_PORT": str(port)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(ranks_there), "MASTER_ADDR": "localhost"}
    chosen: dict[str, Any] = {
        "batch_size": job["batch_size"],
        "accumulate": job.get("accumulate", 1),
        "input_size": SIZE,
    }
    chosen |= {"lr": 0.02, "optimizer": "adamw"} if job.get("optimizer") == "adamw" else {"lr": 0.2}
    settings = TrainSettings(frames=folder, splits=folder, dropout=0.5, **chosen)
    split = open_split(settings)
    with joined(on_gpu=False) as ranks:
        model = network(norm=job.get("norm", False))
        if job.get("frozen"):
            model.freeze_all_but([name for name, _ in model.backbone.named_children()][-1])
        trainer = Trainer(model=model, settings=settings, ranks=ranks, num_clips=len(split.train), precision="fp32")
        if job.get("paced"):  # as where a decoder is to be chosen: the first rank alone measures
            ranks.agree(trainer.pace)
        if job.get("continue"):
            saved = torch.load(folder / "state.pt", weights_only=True)
            trainer.load_state(TrainingState(**saved | {"tally": Tally(**saved["tally"])}))
        losses = []
        with data.open_train_loader(split, settings, ranks, position=trainer.position) as loader:
            before = trainer.tally.loss
            for _ in range(job["steps"]):
                trainer.take_step(loader)
                trainer.read_sums()
                losses.append((trainer.tally.loss - before) / 2**24 / trainer.clips_per_step)
                before = trainer.tally.loss
        if rank == 0:
            torch.save(trainer.state().plain(), folder / "state.pt")
            (folder / "losses.json").write_text(json.dumps(losses))


def main() -> None:
    folder = Path(sys.argv[1])
    for text in sys.argv[2:]:
        job = json.loads(text)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        start_processes(steps_of_rank, (folder, job, port), nprocs=job["ranks"], start_method="fork")  # type: ignore[no-untyped-call]
        print((folder / "losses.json").read_text())


if __name__ == "__main__":
    main()
