"""Files of what networks gave for each clip: its features, or the probabilities of all classes.

/feature or /probability  float32 (N, D)  a row a clip, of probabilities a column a class
/name                     bytes (N)       of the clips, in the order of the split
/label                    int32 (N)       row of /class/name
/class/name               bytes (C)
attributes                format, version, complete, and what the values are of
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from tsn.train.answers.passes import ScoredClips
from tsn.tsn_shared import hdf5

FEATURES = hdf5.Kind(name="tsn-features", version=1)
PROBABILITIES = hdf5.Kind(name="tsn-probabilities", version=1)
COLUMNS = {FEATURES: "feature", PROBABILITIES: "probability"}


def write_clip_values(
    path: Path, kind: hdf5.Kind, scored: ScoredClips, classes: tuple[str, ...], stated: Mapping[str, str | int]
) -> None:
    """Write the values (N, D) of clips whole: the file is sealed, and then given its name."""

    def fill(file: h5py.File) -> None:
        file.create_dataset(COLUMNS[kind], data=scored.values.numpy().astype(np.float32))
        file.create_dataset("name", data=hdf5.encode_names(scored.names))
        file.create_dataset("label", data=scored.labels.numpy().astype(np.int32))
        file.create_dataset("class/name", data=hdf5.encode_names(classes))
        file.attrs.update(stated)

    hdf5.create(path, kind, fill)
