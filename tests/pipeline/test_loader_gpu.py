"""The loader on a GPU: the CPU's clips within 2 of 255, the same ones every time, and no memory that grows."""

import numpy as np
import pytest
import torch

from pipeline.decoding import Decoding
from pipeline.reader import View
from tests.pipeline.test_loader import VIEWS, check_against_reference, opened, pixels_of, same, schedule_of, stream
from tsn_shared.settings import DataSettings

pytestmark = pytest.mark.needs_cuda
CUDA = torch.device("cuda", 0)
ON_CPU = Decoding("cpu")
DECODINGS = (ON_CPU, Decoding("mixed"), Decoding("mixed", 1.0))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_clips_are_those_of_the_cpu(clips: DataSettings, view: View, decoding: Decoding) -> None:
    schedule = schedule_of(clips, view, 7)
    with opened(clips, schedule, view=view, input_size=224, finish="dali") as loader:
        on_cpu = pixels_of(next(loader).clips)
    with opened(clips, schedule, view=view, input_size=224, device=CUDA, decoding=decoding) as loader:
        batch = next(loader)
    assert batch.clips.device == CUDA
    assert batch.clips.dtype == torch.float32
    assert batch.clips.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    off = np.abs(pixels_of(batch.clips) - on_cpu)
    worst = 2.001 if decoding == ON_CPU else 7.001  # nvJPEG's own tests allow 6
    assert off.max() <= worst
    assert off.mean() <= 0.5
    check_against_reference(clips, batch, view=view, segments=3, size=224, worst=worst + 1, mean=0.7)


def test_half_clips_are_the_float_ones_rounded(clips: DataSettings) -> None:
    whole = stream(clips, device=CUDA, decoding=ON_CPU)
    half = stream(clips, device=CUDA, decoding=ON_CPU, half=True)
    for a, b in zip(whole, half, strict=True):
        assert b.dtype == torch.float16
        assert (a - b.float()).abs().max() < 0.002  # half a step of float16 below 4


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_two_streams_are_the_same_bit_for_bit(clips: DataSettings, decoding: Decoding) -> None:
    assert same(stream(clips, device=CUDA, decoding=decoding), stream(clips, device=CUDA, decoding=decoding))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_serve_the_clips_of_one(clips: DataSettings, world: int) -> None:
    assert same(stream(clips, world=world, device=CUDA, decoding=ON_CPU), stream(clips, device=CUDA, decoding=ON_CPU))


def test_a_batch_that_is_kept_never_changes_on_the_gpu(clips: DataSettings) -> None:
    with opened(clips, schedule_of(clips, "train", 4), device=CUDA) as loader:
        kept = [next(loader).clips for _ in range(2)]
        part = next(loader).clips[1, 2]
        before = [tensor.clone() for tensor in (*kept, part)]
        for _ in range(8):
            next(loader)
        assert same(before, [*kept, part])


def test_a_batch_that_is_let_go_is_whole_for_the_work_that_still_waits_for_it(clips: DataSettings) -> None:
    wanted = stream(clips, device=CUDA, decoding=ON_CPU, steps=6)
    with opened(clips, schedule_of(clips, "train", 4), device=CUDA, decoding=ON_CPU) as loader:
        found = []
        for _ in range(6):  # the copies wait for as many cycles of the GPU, the loader does not
            torch.cuda._sleep(50_000_000)  # type: ignore[no-untyped-call]
            found.append(next(loader).clips.clone())
    assert same(wanted, found)


def test_a_stream_of_the_callers_own_sees_whole_batches(clips: DataSettings) -> None:
    wanted = [clip.cpu() for clip in stream(clips, device=CUDA, decoding=ON_CPU, steps=4)]
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        found = [clip.cpu() for clip in stream(clips, device=CUDA, decoding=ON_CPU, steps=4)]
    assert same(wanted, found)


def test_memory_does_not_grow_over_a_thousand_batches(clips: DataSettings) -> None:
    with opened(clips, schedule_of(clips, "train", 8), device=CUDA, input_size=224) as loader:
        used = []
        for _ in range(4):
            for _ in range(250):
                next(loader)
            torch.cuda.synchronize()
            free, total = torch.cuda.mem_get_info()
            used.append(total - free)
    assert used[-1] - used[0] < 64 << 20  # bytes; a batch takes 14 MB


def test_the_decoder_is_measured_and_named(clips: DataSettings, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(clips, schedule_of(clips, "train", 7), device=CUDA, threads=3) as loader:
        next(loader)
    assert "frames are decoded by" in capsys.readouterr().err
