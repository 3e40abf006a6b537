import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import Settings, setting
from tsn.tsn_shared.options import (
    Choice,
    CommaSeparated,
    config_options,
    origins,
    read_config_file,
    settings_options,
    stated,
)


@dataclass(frozen=True, kw_only=True)
class Example(Settings):
    epochs: tuple[int, ...] = setting((30, 60), "Epochs.", metavar="E,E")
    model: str = setting("vgg16", "Backbone.", choices=("vgg16", "resnet18"))
    compile: bool | None = setting(None, "Compile.")
    quiet: bool = setting(False, "Quiet.")
    folder: Path | None = setting(None, "Folder.")
    lr: float = setting(0.5, "Rate.", flags=("--rate",))


@pytest.mark.parametrize("kind", ["fifo", "device", "sparse", "folder", "latin-1"])
@pytest.mark.parametrize("ending", ["toml", "json"])
def test_a_file_of_settings_that_is_none_is_never_waited_for_nor_read_whole(
    tmp_path: Path, kind: str, ending: str
) -> None:
    path = tmp_path / f"a.{ending}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        path.touch()
        os.truncate(path, 1 << 40)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"model = 'caf\xe9'")
    with pytest.raises(SettingsError, match=rf"--config {path} cannot be read as {ending.upper()}: ") as raised:
        read_config_file(click.Context(click.Command("train")), click.Option(["--config"]), path)
    assert "\n" not in str(raised.value)


def parse(*words: str) -> dict[str, Any]:
    got: dict[str, Any] = {}

    @click.command()
    @settings_options(Example)
    @click.pass_context
    def command(context: click.Context, /, **options: object) -> None:
        got.update(options, stated=stated(context))

    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    return got


def test_options_take_the_defaults_of_the_settings() -> None:
    got = parse()
    assert got.pop("stated") == frozenset()
    assert Example(**got) == Example()


def test_values_come_as_their_fields_declare_them() -> None:
    got = parse("--epochs", "1,2", "--model", "vgg16_ucf101", "--no-compile", "--quiet", "--folder", "x", "--rate", "2")
    assert got.pop("stated") == {"epochs", "model", "compile", "quiet", "folder", "lr"}
    wanted = Example(epochs=(1, 2), model="vgg16", compile=False, quiet=True, folder=Path("x"), lr=2.0)
    assert Example(**got) == wanted


@pytest.mark.parametrize("text", ["a,b", "1,,x", "1.5"])
def test_a_list_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a list like 30,60"):
        CommaSeparated(int, like="30,60").convert(text, None, None)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("tf_efficientnet_lite0", ": did you mean timm/tf_efficientnet_lite0?"),
        ("resnet19", ": did you mean resnet18 or timm/resnet19?"),
        ("google/vit", ""),
        ("a\nb", ""),
    ],
)
def test_a_network_that_there_is_not_is_told_with_what_was_meant(value: str, meant: str) -> None:
    with pytest.raises(click.BadParameter) as raised:
        Choice(("vgg16", "resnet18"), "timm/").convert(value, None, None)
    assert raised.value.message.endswith(f" is not one of vgg16, resnet18, and does not begin with timm/{meant}")
    assert "\n" not in raised.value.message


def test_a_value_knows_where_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("quiet = true\nmodel = 'resnet18'\n")
    found: dict[str, str] = {}

    @click.command(context_settings={"auto_envvar_prefix": "X"})
    @settings_options(Example)
    @config_options
    @click.pass_context
    def command(context: click.Context, /, **options: object) -> None:
        found.update(origins(context))

    words = ["--config", str(tmp_path / "a.toml"), "--model", "vgg16"]
    done = CliRunner().invoke(command, words, env={"X_LR": "2", "X_PRINT_CONFIG": ""})
    assert done.exit_code == 0, done.output
    assert found == {
        "epochs": "default",
        "model": "command line",
        "compile": "default",
        "quiet": f"file {tmp_path}/a.toml",
        "folder": "default",
        "lr": "environment variable X_LR",
    }
