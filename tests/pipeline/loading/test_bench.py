"""`tsn bench loader` as a script and as a person see it."""

import json

from click.testing import CliRunner

from tsn.cli import tsn
from tsn.pipeline.loading.bench import LoaderBench, bench_text
from tsn.tsn_shared.settings import DataSettings

STAGES = {"read", "decode", "finish", "copy"}


def test_figures_for_a_script(clips: DataSettings) -> None:
    words = ["bench", "loader", "--frames", str(clips.frames), "--splits", str(clips.splits), "--json"]
    done = CliRunner().invoke(tsn, [*words, "--seconds", "0.5", "--batch-size", "6", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result["stages"]) == STAGES
    needed = STAGES - {"copy"}  # in training on the CPU nothing is copied
    assert result["short"] == min(needed, key=result["stages"].__getitem__)
    assert min(result["clips_per_second"], *result["stages"].values()) > 0
    assert (result["device"], result["batch_size"], result["num_segments"]) == ("cpu", 6, 3)


def test_figures_for_a_person_name_the_short_stage() -> None:
    stages = {"read": 10_000.0, "decode": 500.0, "finish": 2000.0, "copy": 5000.0}
    sizes = {"batch_size": 6, "num_segments": 3, "input_size": 224}
    text = bench_text(
        LoaderBench(clips_per_second=400.0, stages=stages, short="decode", device="cpu", threads=2, **sizes)
    )
    assert "Short on cpu with 2 threads: decode" in text
    rows = [line.split("|")[1:3] for line in text.splitlines() if "|" in line][2:]
    shown = {stage.strip(): rate.strip() for stage, rate in rows}
    assert shown == {"read": "10,000", "decode": "500", "finish": "2,000", "all together": "400"}
