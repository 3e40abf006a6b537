"""Lists of videos to split files, joined to the frames that are there."""
