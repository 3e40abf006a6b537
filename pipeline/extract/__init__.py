"""Videos to frames to shards: listing, decoding with ffmpeg, workers, and the run over them."""
