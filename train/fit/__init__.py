"""A training run: launch, loop, checkpoints, folder and reports."""
