"""The end of a run: the best weights in a file of their own, and what is said at last."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from torch import Tensor

from tsn.train.fit.checkpoint import BEST, load_checkpoint
from tsn.train.fit.contents import Facts, facts_of, weights_of
from tsn.train.fit.reporters import draw, verdict
from tsn.train.fit.run import Run
from tsn.train.fit.weights_file import WEIGHTS, row_of, write_weights
from tsn.train.history import best_row
from tsn.train.network.memory import GIB, peak
from tsn.tsn_shared.console import counted
from tsn.tsn_shared.errors import DataError


def close(run: Run) -> None:
    """Write the weights of the best epoch, and say how the run went."""
    device, folder = run.ranks.device, run.folder
    most = run.ranks.max(torch.tensor([peak(device)], dtype=torch.float64, device=device)).item()
    if not run.ranks.is_first or not run.history:
        return
    facts, weights, lost = _best(run)
    if lost:
        folder.say(f"warning: {lost}: {WEIGHTS} holds the weights of the last epoch")
    with folder.writing(library_error=SafetensorError):
        write_weights(folder.path / WEIGHTS, facts, weights)
    folder.say(verdict(run.history, on_gpu=device.type == "cuda", precision=run.trainer.precision))
    folder.say(f"peak memory: {most / GIB:.1f} GiB a process")
    if best := best_row(run.history):
        mean = best.val_mean_class_accuracy
        classes = "" if mean is None else f", {mean:.2%} mean class accuracy"
        folder.say(f"best: {best.val_top1:.2%} top-1{classes} in epoch {best.epoch}")
    folder.say(f"the run is in {folder.path}: curves.png, summary.csv, checkpoints, model.safetensors")


def close_again(run: Run) -> None:
    """Say that a run is finished; close it where it was killed between its last epoch and its end."""
    done = f"{run.folder.path} is finished: {counted(run.trainer.epoch, 'epoch')} are done"
    run.folder.say(f"{done}; a larger --num-epochs goes on")
    if run.ranks.agree(lambda: row_of(run.folder.path / WEIGHTS) != _best(run)[0].history[-1]):
        if run.ranks.is_first:
            draw(run.folder, run.settings, run.history)
        close(run)


def _best(run: Run) -> tuple[Facts, Mapping[str, Tensor], str]:
    """Return the best epoch's facts and weights; else those of the last, and why they are not the best's."""
    path, best = run.folder.checkpoints / BEST, best_row(run.history)
    own = run.trainer.model.state_dict()
    if best is None:
        return run.facts, own, ""
    try:
        found = load_checkpoint(path)
        facts = facts_of(found, path)
        if facts.history and facts.history[-1].epoch == best.epoch:
            return facts, weights_of(found, own, path), ""
        lost = f"{path} is not of epoch {best.epoch}, the best"
    except DataError as error:
        lost = str(error)
    return run.facts, own, lost if best is not run.history[-1] else ""
