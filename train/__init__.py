"""The Temporal Segment Network, its training loop, launch, checkpoints, evaluation and reports."""
