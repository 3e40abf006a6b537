"""Data: videos to frames, frames to shards, lists to splits, and the DALI pipeline that serves clips."""
