"""The parts of a visit to a GPU; `benchmarks.gpu_visit` is the command."""
