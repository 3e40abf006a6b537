"""Times of windows as people write them."""

import pytest

from tsn.tsn_shared.answer_settings import OverTimeSettings, PredictSettings
from tsn.tsn_shared.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1.0), ("500ms", 0.5), ("2", 2.0), ("1.5 s", 1.5), ("2min", 120.0), ("3m", 180.0)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    assert OverTimeSettings(every=text).step == OverTimeSettings(window=text).length == pytest.approx(seconds)


def test_a_stream_has_a_window_every_second() -> None:
    assert (OverTimeSettings().step, OverTimeSettings().length) == (1.0, 4.0)


def test_bounds_name_the_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--every 50ms: it is a time from 0\.1s to 3600s"):
        OverTimeSettings(every="50ms")
    with pytest.raises(SettingsError, match=r"^--window 11min: it is a time from 0\.1s to 600s"):
        PredictSettings(window="11min")
    with pytest.raises(SettingsError, match=r"--min-score 2"):
        PredictSettings(min_score=2)
    with pytest.raises(SettingsError, match=r"--top 0"):
        PredictSettings(top=0)
