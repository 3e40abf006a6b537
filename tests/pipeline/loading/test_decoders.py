"""The rule that chooses a decoder, on rates that are known, and the measurement, on real frames."""

from itertools import count

import pytest

from tsn.pipeline.loading.decoders import DECODERS, HEADROOM, choose_decoder, serving_rate
from tsn.pipeline.loading.loader import sample_batches
from tsn.pipeline.loading.pixels import Decoder, Pixels
from tsn.tsn_shared.settings import DECODERS as OFFERED
from tsn.tsn_shared.settings import DataSettings, LoaderSettings
from tsn.tsn_shared.splits import open_split


@pytest.mark.parametrize(
    ("rates", "chosen", "measured"),
    [
        ((5633, 6504, 5965), "cpu", 1),  # one H200, 16 cores, training at 1,433 clips/s
        ((2000, 6504, 5965), "engine", 2),
        ((1000, 2100, 2500), "mixed", 3),
        ((1000, 1400, 1300), "engine", 3),  # none keeps ahead: the fastest
        ((2149, 2151, 0), "engine", 2),
        ((2150, 0, 0), "cpu", 1),
    ],
)
def test_the_first_that_keeps_ahead_in_the_order_of_what_they_take(
    rates: tuple[float, ...], chosen: str, measured: int
) -> None:
    asked: list[str] = []

    def serves(decoder: Decoder) -> float:
        asked.append(decoder)
        return rates[DECODERS.index(decoder)]

    decoder, words = choose_decoder(serves, pace=1433)
    assert pytest.approx(2149.5) == HEADROOM * 1433
    assert decoder == chosen
    assert asked == list(DECODERS[:measured])  # no more than the choice needs
    assert f"{chosen} {rates[DECODERS.index(decoder)]:,}" in words
    assert words.endswith("training takes 1,433)")


def test_the_command_line_offers_them_all() -> None:
    assert DECODERS == OFFERED


def test_what_is_measured_are_clips_of_real_batches(clips: DataSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that ticks whenever it is read: as many frames are three times as many clips of a third of them."""
    monkeypatch.setattr("tsn.pipeline.loading.decoders.time.perf_counter", count().__next__)
    rates, pixels = [], Pixels(input_size=32, threads=1)
    for batch_size, segments in ((3, 3), (9, 1)):
        settings = LoaderSettings(batch_size=batch_size, num_segments=segments)
        batches = sample_batches(open_split(clips), clips.frames, settings, count=2)
        assert [len(batch.jpegs) for batch in batches] == [9, 9]
        rates.append(serving_rate(batches, pixels, rounds=2, seconds=10))
    assert 0 < 3 * rates[0] == rates[1]
