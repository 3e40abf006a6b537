import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import Dataset
from tests.helpers import make_shards
from tsn.cli import tsn
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.headings import TRAIN_HEADINGS
from tsn.tsn_shared.settings import SplitsSettings

ROOT = Path(__file__).parents[1]


def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tsn", *words],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize("words", [["-h"], ["train", "-h"]])
def test_help_answers_at_once(words: list[str]) -> None:
    code = f"""
import sys, time
sys.argv = ["tsn", *{words!r}]
from tests.conftest import Dataset
from tsn import cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code
print(time.process_time(), file=sys.stderr)
"""
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds.append(float(done.stderr))
        assert "Usage: tsn" in done.stdout
    assert min(seconds) < 0.7


def test_version_names_what_decides_the_results() -> None:
    done = call("--version")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "tsn",
        "torch",
        "dali",
        "hdf5",
        "ffmpeg",
        "simplejpeg",
        "timm",
    ]


def test_more_gpus_than_there_are_is_one_line_and_exit_code_2(dataset: Dataset) -> None:
    data = ("--frames", dataset.frames, "--splits", dataset.splits)
    done = call("train", "--gpus", "8", *map(str, data), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr.startswith("tsn: --gpus 8: 0 GPUs are visible")
    assert "--gpus 0" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_settings_out_of_range_name_their_flag() -> None:
    done = call("train", "--gpus", "0", "--lr", "0")
    assert done.returncode == 2
    assert done.stderr == "tsn: --lr 0.0: it must be more than 0\n"


def test_a_partial_torchrun_environment_is_an_error(tmp_path: Path) -> None:
    done = call("train", "--gpus", "0", "--run", str(tmp_path), RANK="0", WORLD_SIZE="2")
    assert done.returncode == 2
    assert "MASTER_ADDR" in done.stderr


def test_missing_data_end_with_code_4(tmp_path: Path) -> None:
    done = call("train", "--gpus", "0", "--weights", "none", "--splits", str(tmp_path), "--run", str(tmp_path / "run"))
    assert done.returncode == 4
    assert "split1.h5" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_flags_go_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('gpus = "1"\nlr = -1.0\nbatch-size = -2\nlr-decay-epoch = [1, 2]\n')
    assert "--batch-size -2" in call("train", "--config", str(file)).stderr
    assert "--batch-size -3" in call("train", "--config", str(file), TSN_TRAIN_BATCH_SIZE="-3").stderr
    done = call("train", "--config", str(file), "--batch-size", "-4", TSN_TRAIN_BATCH_SIZE="-3")
    assert "--batch-size -4" in done.stderr


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("learning-rate = 1\n")
    done = call("train", "--config", str(file))
    assert done.returncode == 2
    assert "learning_rate" in done.stderr


def test_the_tutorials_flags_and_model_name_are_understood(dataset: Dataset) -> None:
    data = ("--frames", dataset.frames, "--splits", dataset.splits)
    words = "--model vgg16_ucf101 --num-classes 101 --num-gpus 8 --num-segments 3 --use-tsn --lr-mode step --lr 0.001"
    more = "--lr-decay 0.1 --lr-decay-epoch 30,60,80 --num-epochs 80"
    done = call("train", *words.split(), *more.split(), *map(str, data), CUDA_VISIBLE_DEVICES="")
    assert "--gpus 8: 0 GPUs are visible" in done.stderr


def test_no_line_of_any_help_is_wider_than_80_columns() -> None:
    for name in ("", *tsn.commands):
        lines = CliRunner().invoke(tsn, [*([name] if name else []), "-h"]).output.splitlines()
        assert len(lines) > 4
        assert [line for line in lines if len(line) > 80] == [], name


def test_help_keeps_its_examples_line_by_line() -> None:
    for command in (None, *tsn.commands):
        text = CliRunner().invoke(tsn, [*([command] if command else []), "-h"]).output
        assert "\\b" not in text
        assert "\b" not in text
    lines = CliRunner().invoke(tsn, ["-h"]).output.splitlines()
    assert [line.strip() for line in lines if line.startswith("      ")][:3] == [
        "tsn extract-frames",
        "tsn build-splits",
        "tsn train --gpus 8",
    ]


FLAGS = """
--accumulate --auto-scale-lr --balance --batch-size --clip-grad --compile --config --decoder --dropout --dry-run
--frames --freeze --gpus --head-lr --help --input-size --label-smoothing --loader-threads --lr --lr-decay
--lr-decay-epoch --lr-mode --max-restarts --mean --modality --model --momentum --nnodes --no-compile --no-tsn
--num-classes --num-epochs --num-gpus --num-processes --num-segments --optimizer --precision --print-config
--rdzv-endpoint --resume --run --save-every --seed --shift --split --splits --std --track --use-tsn --warmup-epochs
--wd --weights
"""


def test_the_flags_of_train_are_these_and_no_others() -> None:
    text = CliRunner().invoke(tsn, ["train", "-h"]).output
    words = {word.strip(",") for word in text.replace("/", " ").split()}
    assert {word for word in words if word.startswith("--")} == set(FLAGS.split())


def test_the_clips_of_a_split_are_csv_in_utf_8(tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", ["Bow/\u00e9", "Bow/a", "Yo/a", "Yo/b"])
    build_splits(None, SplitsSettings(frames=frames, out=tmp_path, split_by="video"))
    done = call("info", str(tmp_path), "--clips", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 5
    assert ",Bow/\u00e9,Bow,0,3,0\n" in done.stdout
    done = call("info", str(tmp_path), "--clips", "--json")
    assert done.returncode == 2
    assert "leave out --json" in done.stderr


def test_lists_and_a_drawn_split_exclude_each_other(tmp_path: Path) -> None:
    done = CliRunner().invoke(tsn, ["build-splits", str(tmp_path), "--split-by", "folder"])
    assert done.exit_code == 2
    assert f"leave out {tmp_path}" in done.output
    done = CliRunner().invoke(tsn, ["build-splits", "--split-by", "group", "--frames", str(tmp_path)])
    assert isinstance(done.exception, DataError)  # it went to look for frames


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("batch-size = 2.7", "batch_size = 2.7"),
        ("lr = true", "lr = True"),
        ("lr_decay_epoch = [3.5]", "lr_decay_epoch = [3.5]: it takes 30,60 values"),
        ('lr_decay_epoch = [3, "x"]', "lr_decay_epoch = [3, 'x']: it takes 30,60 values"),
        ("lr_decay_epoch = 'x'", "'x' is not a list like 30,60"),
        ("lr = [1]", "lr = [1]: it takes float values"),
        ("lr = {a = 1}", "lr = {'a': 1}: it takes float values"),
        ("batch_size = [1, 2]", "batch_size = [1, 2]: it takes integer values"),
        ("frames = 3", "frames = 3: it takes path values"),
        ("gpus = [1]", "gpus = [1]: it takes text values"),
        ("seed = " + "[" * 5000 + "]" * 5000, "cannot be read as TOML: "),
        ("seed = 0x" + "f" * 5000, "a number of too many digits"),
        ('config = "other.toml"', "no such settings: config"),
        ("batchsize = 2\nzz = 1", "no such settings: batchsize (did you mean batch_size?), zz"),
        ("warmup-epochs = inf", "--warmup-epochs inf: it must be a finite number"),
    ],
)
def test_values_of_a_file_are_checked_as_flags_are(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(line)
    done = CliRunner().invoke(tsn, ["train", "--config", str(tmp_path / "a.toml")])
    assert words in done.output + str(done.exception)
    assert done.exit_code == 2 or isinstance(done.exception, SettingsError)


def test_an_endpoint_is_a_host_and_a_port() -> None:
    done = CliRunner().invoke(tsn, ["train", "--nnodes", "2", "--rdzv-endpoint", "localhost:notaport"])
    assert "it is HOST:PORT" in str(done.exception)


def test_a_failure_is_one_line_whatever_names_are_in_it(tmp_path: Path) -> None:
    done = call("verify", str(tmp_path / "a\n\x1b[31mb"))
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert r"a\n\x1b[31mb" in done.stderr


def printed(*words: str, **environment: str) -> dict[str, tuple[str, str]]:
    """Return what --print-config shows of each setting that is set: its value, and where it is from."""
    done = CliRunner().invoke(tsn, ["train", "--print-config", *words], env=environment, auto_envvar_prefix="TSN")
    assert done.exit_code == 0, done.output + repr(done.exception)
    lines = [line.partition("  # ") for line in done.stdout.splitlines() if " = " in line]
    return {name: (value, origin) for line, _, origin in lines for name, _, value in [line.partition(" = ")]}


def test_the_resolved_settings_are_shown_with_where_each_is_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('lr = 0.5\nmodel = "resnet18"\nbatch-size = 7\n')
    words = ["--config", str(file), "--model", "resnet50", "--no-tsn", "--lr-decay-epoch", "5,6"]
    shown = printed(*words, TSN_TRAIN_WD="0.25")
    assert shown["lr"] == ("0.5", f"file {file}")
    assert shown["batch_size"] == ("7", f"file {file}")
    assert shown["model"] == ('"resnet50"', "command line")
    assert shown["use_tsn"] == ("false", "command line")
    assert shown["lr_decay_epoch"] == ("[5, 6]", "command line")
    assert shown["wd"] == ("0.25", "environment variable TSN_TRAIN_WD")
    assert shown["momentum"] == ("0.9", "default")
    assert "clip_grad" not in shown
    again = tmp_path / "again.toml"
    done = CliRunner().invoke(tsn, ["train", "--print-config", *words], env={"TSN_TRAIN_WD": "0.25"})
    again.write_text(done.stdout)
    assert {name: value for name, (value, _) in printed("--config", str(again)).items()} == {
        name: value for name, (value, _) in shown.items()
    }


def test_a_recipe_is_named_as_an_origin_and_an_unknown_one_lists_those_there_are() -> None:
    shown = printed("--config", "finetune", "--lr", "0.002")
    assert shown["optimizer"] == ('"adamw"', "recipe finetune")
    assert shown["lr"] == ("0.002", "command line")
    done = call("train", "--config", "finetunes")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "tsn: --config finetunes: there is no such file, and no recipe of that name; there are "
    )
    assert "finetune, gluoncv-vgg16" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_ends_or_reads_is_no_setting_of_a_file(tmp_path: Path) -> None:
    for name in ("print_config", "dry-run", "config"):
        (tmp_path / "a.toml").write_text(f"{name} = true\n")
        done = CliRunner().invoke(tsn, ["train", "--config", str(tmp_path / "a.toml")])
        assert "no such settings" in str(done.exception)


def test_the_options_of_train_stand_under_headings() -> None:
    text = CliRunner().invoke(tsn, ["train", "-h"]).output
    assert [line[:-1] for line in text.splitlines() if line in {f"{name}:" for name in TRAIN_HEADINGS}] == [
        *("Data", "Network", "Fine-tuning", "Schedule", "Speed", "Run")
    ]
    fine_tuning = text.partition("\nFine-tuning:\n")[2].partition("\nSchedule:\n")[0]
    assert "--freeze" in fine_tuning
    assert "--dry-run" in text.partition("\nRun:\n")[2]
