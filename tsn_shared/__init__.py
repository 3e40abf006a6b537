"""What the pipeline and the trainer must agree on: formats, sampling and augmentation rules, settings, errors."""
