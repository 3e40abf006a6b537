"""What a video's container declares: where its file ends, and how many frames lie in it.

ffmpeg plays a truncated file to its early end and calls that a success. What the container declares tells them apart.
"""

from collections.abc import Callable

from tsn.pipeline.extract.container_asf import HEADER, read_asf
from tsn.pipeline.extract.container_avi import read_avi
from tsn.pipeline.extract.container_flv import read_flv
from tsn.pipeline.extract.container_gif import read_gif
from tsn.pipeline.extract.container_matroska import EBML, read_matroska
from tsn.pipeline.extract.container_mp4 import FIRST, read_mp4
from tsn.pipeline.extract.container_mpeg import PACK, read_ps, read_ts
from tsn.pipeline.extract.container_ogg import MAGIC, read_ogg
from tsn.pipeline.extract.declared import REST, DeclaredLength, FileBytes, zeros_at_end

_READERS: tuple[tuple[int, tuple[bytes, ...], Callable[[FileBytes], DeclaredLength]], ...] = (
    (8, (b"AVI ",), read_avi),
    (4, FIRST, read_mp4),
    (0, (EBML.to_bytes(4, "big"),), read_matroska),
    (0, (b"FLV",), read_flv),
    (0, (HEADER,), read_asf),
    (0, (MAGIC,), read_ogg),
    (0, (b"GIF87a", b"GIF89a"), read_gif),
    (0, (PACK,), read_ps),
    (0, (b"",), read_ts),
)
"""Who reads a file that has one of these words at this byte; the last looks whether it is MPEG-TS."""


def read_declared_length(descriptor: int) -> DeclaredLength:
    """Read what an open file declares by its container; little where it has none, or one that is not known.

    Of these, zeros that end over a quarter of the file early are what a download left where nothing came.
    """
    file = FileBytes(descriptor)
    head = file.read(0, 16)
    declared = next(read(file) for at, words, read in _READERS if head[at:].startswith(words))
    if declared.frames is None and declared.end is None:
        begin = zeros_at_end(file)
        if begin and file.size - begin > REST * file.size:
            return DeclaredLength(size=begin, end=file.size)
    return declared
