"""Features of clips in one HDF5 file: what the network's last layer reads, averaged over frames and crops.

/feature            float32 (N, D)  fc7 after its ReLU for VGG (D = 4096), the pooled maps for ResNet (512, 2048)
/name               bytes (N)       of the clips, in the order of the split
/label              int32 (N)       row of /class/name
/class/name         bytes (C)
attributes          format, version, checkpoint, model, protocol, num_segments, split, subset, complete
"""

from pathlib import Path

import h5py
import numpy as np

from tsn.train.answers.passes import plan_pass, run_pass
from tsn.train.answers.trained import load_trained
from tsn.tsn_shared import hdf5
from tsn.tsn_shared.files import alone, writing
from tsn.tsn_shared.settings import SplitScoreSettings
from tsn.tsn_shared.splits import Subset

KIND = hdf5.Kind(name="tsn-features", version=1)


def write_features(checkpoint: Path, out: Path, settings: SplitScoreSettings, *, subset: Subset = "test") -> str:
    """Write the features of a subset's clips to `out` and return a line that says what is in it.

    Errors are those of `plan_pass`.
    """
    trained = load_trained(checkpoint)
    wanted = plan_pass(subset, trained, settings, features=True)
    way_out = "name another file"
    stated = {
        "checkpoint": str(trained.path),
        "model": trained.settings.model,
        "protocol": wanted.protocol,
        "num_segments": wanted.segments,
        "split": wanted.data.split,
        "subset": subset,
    }

    def fill(file: h5py.File) -> None:
        file.create_dataset("feature", data=scored.values.numpy())
        file.create_dataset("name", data=hdf5.encode_names(scored.names))
        file.create_dataset("label", data=scored.labels.numpy().astype(np.int32))
        file.create_dataset("class/name", data=hdf5.encode_names(trained.classes))
        file.attrs.update(stated)

    with alone(out, way_out):
        scored = run_pass(wanted, trained, settings)
        with writing(out, way_out):
            hdf5.create(out, KIND, fill)
    clips, width = scored.values.shape
    return f"{out}: {width} features of {clips} {subset} clips, split {wanted.data.split}, {wanted.words}"
