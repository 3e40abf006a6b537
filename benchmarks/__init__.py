"""Measurements against what users would pick instead: side by side, interleaved, read as ratios."""
