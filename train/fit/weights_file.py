"""model.safetensors: the best weights of a run, with the facts that answers need, and the SHA-256 of both."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tsn.train.fit.contents import Facts
from tsn.train.history import Row, rows_of
from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import DataError, brief
from tsn.tsn_shared.files import replacing
from tsn.tsn_shared.nearest import absent

WEIGHTS = "model.safetensors"

FACTS, DIGEST = "tsn", "tsn-sha256"
"""Keys of its metadata: the facts, as JSON, and the SHA-256 of facts and weights."""


def write_weights(path: Path, facts: Facts, model: Mapping[str, Tensor]) -> None:
    """Write weights with the facts of their epoch: a checkpoint without its training.

    And the SHA-256 of both, for nothing else notices a flipped bit in such a file.
    """
    weights = {name: value.contiguous().cpu() for name, value in model.items()}
    plain = facts.plain()
    last = [row.plain() for row in facts.history[-1:]]
    kept = {name: plain[name] for name in ("settings", "classes", "split", "frames", "train_sha256", "base")}
    text = json.dumps(kept | {"history": last})
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata={FACTS: text, DIGEST: _digest(text, weights)})
        temporary.chmod(0o644)  # safetensors makes it for its owner alone


def row_of(path: Path) -> Row | None:
    """Return the row of the epoch that a model.safetensors is of; None where it is not there, or cannot say."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = schema.read_json((file.metadata() or {})[FACTS])
        return rows_of(facts["history"], "history")[-1]
    except (SafetensorError, OSError, ValueError, LookupError, TypeError):
        return None


def read_weights_file(path: Path) -> dict[str, Any]:
    """Read a model.safetensors as a checkpoint is read: what it holds is checked by `tsn.train.fit.contents`.

    DataError for what is damaged, or does not say how it was trained.
    """
    if not path.is_file():
        raise DataError(absent(path))
    try:
        with safe_open(path, framework="pt") as file:
            stated = file.metadata() or {}
        model = load_file(path)
    except Exception as error:  # of a hostile header its reader raises more than its own
        raise DataError(f"{path} cannot be read as safetensors: {brief(error)}") from None
    if FACTS not in stated:
        raise DataError(f"{path} does not say how it was trained: name a run folder or a .pt file")
    if DIGEST in stated and stated[DIGEST] != _digest(stated[FACTS], model):  # older ones have none
        raise DataError(f"{path} is damaged: its SHA-256 is another than it says")
    try:
        facts = schema.read_json(stated[FACTS])
        schema.record({})(facts, FACTS)
    except ValueError as error:
        raise DataError(f"{path} cannot be used: what it says of itself is no JSON of facts: {error}") from None
    return {**facts, "model": model}


def _digest(facts: str, weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(facts.encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
