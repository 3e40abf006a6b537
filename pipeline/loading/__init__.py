"""Shards to clips on the device: schedule, reader, DALI graph and loader."""
