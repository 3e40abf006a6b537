"""The Temporal Segment Network, its training loop, launch, checkpoints, evaluation and reports.

What a program of one's own needs is offered here; each name loads its module when it is first used.
"""

from typing import TYPE_CHECKING

from tsn.tsn_shared.exports import on_first_use

if TYPE_CHECKING:
    from tsn.train.answers.evaluate import evaluate
    from tsn.train.answers.predict import predict
    from tsn.train.answers.trained import load_trained
    from tsn.train.fit.launch import train
else:
    __getattr__, __dir__ = on_first_use(
        __name__,
        {
            "tsn.train.answers.evaluate": ["evaluate"],
            "tsn.train.answers.predict": ["predict"],
            "tsn.train.answers.trained": ["load_trained"],
            "tsn.train.fit.launch": ["train"],
        },
    )

__all__ = ["evaluate", "load_trained", "predict", "train"]
