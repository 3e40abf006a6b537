"""What a video's container declares: where its file ends, and how many frames lie in it.

ffmpeg plays a truncated file to its early end and calls that a success. What the container declares tells them apart.
"""

from tsn.pipeline.extract.container_avi import read_avi
from tsn.pipeline.extract.container_matroska import EBML, read_matroska
from tsn.pipeline.extract.container_mp4 import FIRST, read_mp4
from tsn.pipeline.extract.declared import DeclaredLength, FileBytes


def read_declared_length(descriptor: int) -> DeclaredLength:
    """Read what AVI, MP4/MOV and Matroska/WebM files declare; of any other open file, nothing."""
    file = FileBytes(descriptor)
    head = file.read(0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        return read_avi(file)
    if head[4:8] in FIRST:
        return read_mp4(file)
    if head[:4] == EBML.to_bytes(4, "big"):
        return read_matroska(file)
    return DeclaredLength(size=file.size)
