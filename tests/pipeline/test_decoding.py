"""The measurement that chooses a decoder, on stand-ins whose times are known."""

import time

from pipeline.decoding import WAYS, Decoding, fastest


def test_the_fastest_way_is_found_whatever_its_place() -> None:
    runs = {"slow": lambda: time.sleep(0.02), "quick": lambda: time.sleep(0.001), "middling": lambda: time.sleep(0.01)}
    seconds = fastest(runs, seconds=0.02)
    assert sorted(seconds, key=seconds.__getitem__) == ["quick", "middling", "slow"]
    assert seconds["quick"] >= 0.001


def test_ways_say_what_they_are() -> None:
    assert str(WAYS[0]) == "cpu"
    assert str(Decoding("mixed", 0.65)) == "mixed, 65% by the card's JPEG engine"
