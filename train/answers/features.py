"""Features of clips in one HDF5 file: what the network's last layer reads, averaged over frames and crops.

That is fc7 after its ReLU for VGG (4,096 numbers a clip), the pooled maps for ResNet (512, 2,048).
"""

from pathlib import Path

from tsn.train.answers.clip_values import FEATURES, write_clip_values
from tsn.train.answers.passes import plan_pass, run_pass
from tsn.train.answers.trained import load_trained
from tsn.tsn_shared.files import alone, writing
from tsn.tsn_shared.settings import SplitScoreSettings
from tsn.tsn_shared.splits import Subset


def write_features(checkpoint: Path, out: Path, settings: SplitScoreSettings, *, subset: Subset | None = None) -> str:
    """Write the features of a subset's clips (test, or val where there is no test) to `out`; return a line on them.

    Errors are those of `plan_pass`.
    """
    trained = load_trained(checkpoint)
    wanted = plan_pass(subset, trained, settings, features=True)
    way_out = "name another file"
    stated: dict[str, str | int] = {
        "checkpoint": str(trained.path),
        "model": trained.settings.model,
        "protocol": wanted.protocol,
        "num_segments": wanted.segments,
        "split": wanted.data.split,
        "subset": wanted.subset,
    }

    with alone(out, way_out):
        scored = run_pass(wanted, trained, settings)
        with writing(out, way_out):
            write_clip_values(out, FEATURES, scored, trained.classes, stated)
    clips, width = scored.values.shape
    return f"{out}: {width} features of {clips} {wanted.subset} clips, split {wanted.data.split}, {wanted.words}"
