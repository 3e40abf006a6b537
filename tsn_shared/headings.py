"""Under which headings the settings of a command stand, in its help and where they are printed."""

TRAIN_HEADINGS = {
    "Data": (
        *("frames", "splits", "split", "num_classes", "num_segments", "use_tsn", "modality", "input_size", "balance"),
    ),
    "Network": ("model", "weights", "dropout", "shift", "mean", "std"),
    "Fine-tuning": ("freeze", "head_lr", "optimizer", "label_smoothing"),
    "Schedule": (
        *("num_epochs", "batch_size", "accumulate", "lr", "auto_scale_lr", "lr_mode", "lr_decay", "lr_decay_epoch"),
        *("warmup_epochs", "momentum", "wd", "clip_grad"),
    ),
    "Speed": (
        *("gpus", "num_processes", "nnodes", "rdzv_endpoint", "precision", "compile", "decoder", "loader_threads"),
    ),
    "Run": ("run", "resume", "seed", "save_every", "max_restarts", "track"),
}
"""Of `train`: each of its settings stands once."""

TIMED = frozenset(
    {"frames", "splits", "split", "gpus", "model", "num_segments", "use_tsn", "batch_size", "input_size"}
    | {"dropout", "freeze", "optimizer", "precision", "compile", "seed", "shift"}
)
"""Settings of training that decide how fast a step is."""
