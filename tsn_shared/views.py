"""Views of a clip: which frames of its video it shows, and how they are cropped. A new view is a row of VIEWS.

The command line takes its choices from this table, so NumPy waits until a view is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tsn.tsn_shared.draws import Int64

    Crops = tuple[Int64, npt.NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Snippets:
    """What of its video a clip shows: S = `segments` snippets of L = `length` neighbouring frames each."""

    segments: int
    length: int = 1

    @property
    def frames(self) -> int:
        """Frames a clip, S * L."""
        return self.segments * self.length


@dataclass(frozen=True, kw_only=True)
class View:
    """How B clips are shown, by S segments and K = `crops` crops of each frame.

    `frame_rule(frames, snippets, draws)` takes the numbers of frames of their videos (B,) and returns where their
    snippets start (B, S). `crop_rule(height, width, draws)` takes the sizes of their frames in pixels, each (B,), and
    returns crops (B, K, 4) as y, x, h, w and flips (B, K). `segments` is the usual S, None where it is the training's.

    Only a view that is `drawn` gets draws, (B, S) and (B, CROP_SLOTS), and None else. It is for training: other frames
    in every epoch, and resized the quick way.
    """

    name: str
    words: str
    frame_rule: "Callable[[Any, Snippets, Any], Int64]"
    crop_rule: "Callable[[Any, Any, Any], Crops]"
    crops: int = 1
    segments: int | None = None
    drawn: bool = False

    def described(self, segments: int) -> str:
        """Return the protocol in words: its name, segments, crops."""
        return f"protocol {self.name} ({segments} segments, {self.words})"

    @property
    def usual(self) -> str:
        """Segments and crops, in words."""
        segments = f"{self.segments} segments" if self.segments else "as many segments as in training"
        return f"{segments}, {self.words}"

    def frame_indices(self, frames: Any, snippets: Snippets, draws: Any = None) -> "Int64":
        """Return what is shown of videos of so many `frames` (B,): (B, S * L), frame l of segment s at s * L + l."""
        from tsn.tsn_shared import sampling

        return sampling.snippet_indices(self.frame_rule(frames, snippets, draws), frames, snippets.length)


def _drawn_frames(frames: Any, snippets: Snippets, draws: Any) -> "Int64":
    from tsn.tsn_shared import sampling

    return sampling.train_indices(frames, draws[:, : snippets.segments], snippets.length)


def _middle_frames(frames: Any, snippets: Snippets, _: Any) -> "Int64":
    from tsn.tsn_shared import sampling

    return sampling.val_indices(frames, snippets.segments, snippets.length)


def _uniform_frames(frames: Any, snippets: Snippets, _: Any) -> "Int64":
    from tsn.tsn_shared import sampling

    return sampling.uniform_indices(frames, snippets.segments, snippets.length)


def _drawn_crop(height: Any, width: Any, draws: Any) -> "Crops":
    from tsn.tsn_shared import augment

    crops, flips = augment.train_crops(height, width, draws)
    return crops[:, None], flips[:, None]


def _centre_crop(height: Any, width: Any, _: Any) -> "Crops":
    from tsn.tsn_shared import augment

    return _unflipped(augment.centre_crops(height, width)[:, None])


def _three_crops(height: Any, width: Any, _: Any) -> "Crops":
    from tsn.tsn_shared import augment

    return _unflipped(augment.three_crops(height, width))


def _ten_crops(height: Any, width: Any, _: Any) -> "Crops":
    from tsn.tsn_shared import augment

    return augment.ten_crops(height, width)


def _unflipped(crops: "Int64") -> "Crops":
    import numpy as np

    return crops, np.zeros(crops.shape[:2], dtype=np.bool_)


VIEWS = {
    view.name: view
    for view in (
        View(name="train", words="a drawn crop", frame_rule=_drawn_frames, crop_rule=_drawn_crop, drawn=True),
        View(name="val", words="centre crop", frame_rule=_middle_frames, crop_rule=_centre_crop),
        View(name="3crop", words="3 crops", frame_rule=_uniform_frames, crop_rule=_three_crops, crops=3, segments=25),
        View(name="10crop", words="10 crops", frame_rule=_uniform_frames, crop_rule=_ten_crops, crops=10, segments=25),
    )
}
"""By name. `val` is what training computes after every epoch; TSN's papers report 10crop (Wang et al., ECCV 2016)."""

PROTOCOLS = tuple(view.name for view in VIEWS.values() if not view.drawn)
"""Names of the views by which clips are scored."""
