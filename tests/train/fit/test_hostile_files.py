"""Files of a run that somebody has edited: every field missing, of another type, absurd or deep ends in one line.

In this process, and on the state as it is loaded: what is wrong in a checkpoint can crash the process that trusts it.
"""

import copy
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.train.runs import evaluated
from tsn.train.answers.compare import compare, side_by_side
from tsn.train.answers.trained import load_trained
from tsn.train.fit.checkpoint import BEST, LAST, load_checkpoint
from tsn.train.fit.contents import Checkpoint, checkpoint_of, facts_of, weights_of
from tsn.train.fit.folder import read_config, read_history
from tsn.train.fit.place import place_run
from tsn.train.fit.trainer import Trainer
from tsn.train.network.archive import read_pt
from tsn.train.network.model import TSN, build_model
from tsn.train.network.weights import load_weights
from tsn.train.ranks.devices import channels_last
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.errors import DataError, SettingsError, TsnError
from tsn.tsn_shared.settings import TrainSettings

CPU = torch.device("cpu")
CLIPS = 12


def deep(levels: int = 5000) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


ANYTHING: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**30, -(10**5000), float("nan"), float("inf"), "", "a", "\0", "x" * 10_000, b"a"),
    *([], {}, [None], {"a": 1}, {1: 2}, deep(), torch.zeros(2), torch.zeros(1).expand(10**9)),
)
MISSING = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value below one: all names of records, the first and last of a list."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*path, name))
    elif isinstance(value, list) and value:
        for place in sorted({0, len(value) - 1}):
            yield from places(value[place], (*path, place))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    """Return a copy with another value at a place, or with none there; what is not on the way is shared."""
    if not path:
        return to
    found = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and to is MISSING:
        del found[path[0]]
    else:
        found[path[0]] = changed(value[path[0]], path[1:], to)
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    return at(value[path[0]], path[1:]) if path else value


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, whatever they are."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and bool((one == other).all())
    return bool(one == other)


def refused(use: Callable[[], Any], *kinds: type[TsnError]) -> str | None:
    """Return the one line with which a use was refused, None where it was not; anything else is raised."""
    try:
        use()
    except kinds as error:
        said = str(error)
    else:
        return None
    assert said.isprintable()
    assert len(said) < 2000
    return said


SHAPE = (8, 3, 3, 3)
"""Of the small network's first weights."""


@pytest.fixture(scope="module")
def whole(trained_run: Path) -> dict[str, Any]:
    """The last state of a finished run."""
    return load_checkpoint(trained_run / "checkpoints" / LAST)


@pytest.fixture(scope="module")
def trainer(whole: dict[str, Any]) -> Trainer:
    """The trainer that would go on with that run, of a small network: its settings are the run's."""
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    settings = facts_of(whole, Path("last.pt")).settings
    model = channels_last(TSN(backbone))
    return Trainer(model=model, settings=settings, ranks=Ranks(device=CPU), num_clips=CLIPS, precision="fp32")


@pytest.fixture(scope="module")
def state(whole: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    """That run's state, with the weights and momentum of the small network."""
    small = trainer.state().plain()
    copied = copy.deepcopy({name: small[name] for name in ("model", "optimizer", "scaler")})
    return whole | copied


GoOn = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def go_on(state: dict[str, Any], trainer: Trainer) -> GoOn:
    """Return a function that goes on from a state as a run does."""
    path = Path("last.pt")
    run, own = facts_of(state, path), copy.deepcopy(trainer.state())
    return lambda found: trainer.load_state(checkpoint_of(found, path, own=own, facts=run, num_clips=CLIPS).state)


def test_every_field_of_a_checkpoint_that_a_run_goes_on_from_is_checked(state: dict[str, Any], go_on: GoOn) -> None:
    go_on(state)
    kept, tried = set(), 0
    for path in places(state):
        for value in (MISSING, *ANYTHING):
            if value is not MISSING and same(value, at(state, path)):
                continue
            tried += 1
            found = changed(state, path, value)
            if refused(lambda found=found: go_on(found), DataError) is None:  # type: ignore[misc]
                kept.add(".".join(map(str, path)))
    assert tried > 1500
    allowed = ("history.", "settings.", "tally.", "frames", "train_sha256", "optimizer.param_groups.0.", "split")
    more = ("format", "version", "position", "step", "base")
    assert [path for path in kept if not path.startswith((*allowed, *more))] == []
    assert {path for path in kept if path.startswith("settings.")} <= {
        *(f"settings.{name}" for name in ("run", "resume", "frames", "splits", "gpus", "weights", "save_every")),
        *(f"settings.{name}" for name in ("num_epochs", "batch_size", "accumulate", "num_processes", "nnodes")),
        *(f"settings.{name}" for name in ("max_restarts", "rdzv_endpoint", "compile", "decoder", "loader_threads")),
        *(f"settings.{name}" for name in ("num_classes", "clip_grad", "precision", "save_every", "split")),
        *(f"settings.{name}" for name in TrainSettings.__dataclass_fields__),  # absent, a default that is the same
    }


@pytest.mark.parametrize(
    "buffer",
    [
        torch.zeros(1),
        torch.zeros(0),
        torch.zeros(1).expand(SHAPE),
        torch.zeros(8, 3, 3, 4),
        torch.zeros(SHAPE, dtype=torch.complex64),
        torch.zeros(SHAPE, dtype=torch.int8),
        torch.full(SHAPE, float("nan")),
        torch.zeros(SHAPE, device="meta"),
        torch.zeros(SHAPE).to_sparse(),
        torch.zeros(1000).as_strided(SHAPE, (27, 9, 3, 0)),
    ],
    ids=lambda buffer: f"{tuple(buffer.shape)}-{buffer.dtype}-{buffer.layout}",
)
def test_a_momentum_of_another_kind_never_reaches_the_kernel(
    state: dict[str, Any], go_on: GoOn, buffer: Tensor
) -> None:
    assert state["optimizer"]["state"][0]["momentum_buffer"].shape == SHAPE
    found = changed(state, ("optimizer", "state", 0, "momentum_buffer"), buffer)
    said = refused(lambda: go_on(found), DataError)
    assert said is not None
    assert "optimizer.state.0.momentum_buffer" in said


def test_a_momentum_that_is_laid_out_otherwise_is_laid_out_as_its_weights(
    state: dict[str, Any], trainer: Trainer, go_on: GoOn
) -> None:
    """The fused kernel reads both in the order of memory."""
    buffer = torch.randn(SHAPE)
    assert buffer.stride() != trainer.model.get_parameter("backbone.0.weight").stride()
    go_on(changed(state, ("optimizer", "state", 0, "momentum_buffer"), buffer))
    weight = trainer.model.get_parameter("backbone.0.weight")
    found = trainer.optimizer.state[weight]["momentum_buffer"]
    assert torch.equal(found, buffer)
    assert found.stride() == weight.stride()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("exp_avg_sq", torch.full(SHAPE, -1e-9), "holds numbers below 0"),
        ("exp_avg_sq", torch.full(SHAPE, float("inf")), "holds numbers that are not finite"),
        ("step", torch.tensor(-1.0), "holds numbers below 0"),
        ("step", torch.tensor(1e6), "step is 1e+06, of 5 that were taken"),
        ("step", torch.tensor(0.5), "step is 0.5, of 5 that were taken"),
        ("step", torch.tensor(2), "is of torch.int64, not torch.float32"),
        ("step", 2, "is 2: it must be a tensor"),
        ("exp_avg", MISSING, "is missing"),
        ("max_exp_avg_sq", torch.zeros(SHAPE), "is unknown"),
    ],
)
def test_what_adamw_remembers_is_checked_in_the_same_place(
    state: dict[str, Any], trainer: Trainer, name: str, value: Any, words: str
) -> None:
    path = Path("last.pt")
    facts = facts_of(state | {"settings": state["settings"] | {"optimizer": "adamw"}}, path)
    cpu = Ranks(device=CPU)
    adamw = Trainer(model=trainer.model, settings=facts.settings, ranks=cpu, num_clips=CLIPS, precision="fp32")
    whole = Checkpoint(facts=facts, state=replace(adamw.state(), position=24, step=5)).plain()
    checkpoint_of(whole, path, own=adamw.state(), facts=facts, num_clips=CLIPS)
    kept = whole["optimizer"]["state"][0]  # type: ignore[index]
    others = {key: tensor for key, tensor in kept.items() if key != name}
    optimizer = changed(whole["optimizer"], ("state", 0), others if value is MISSING else others | {name: value})
    said = refused(
        lambda: checkpoint_of(whole | {"optimizer": optimizer}, path, own=adamw.state(), facts=facts, num_clips=CLIPS),
        DataError,
    )
    assert said is not None
    assert f"optimizer.state.0.{name}" in said
    assert words in said


def test_every_field_of_a_checkpoint_that_answers_is_checked(state: dict[str, Any]) -> None:
    own = {name: value.to("meta") for name, value in state["model"].items()}

    def use(found: dict[str, Any]) -> None:
        facts_of(found, Path("best.pt"))
        weights_of(found, own, Path("best.pt"))

    use(state)
    for path in places({name: value for name, value in state.items() if name not in ("optimizer", "tally")}):
        for value in (MISSING, *ANYTHING):
            refused(lambda path=path, value=value: use(changed(state, path, value)), DataError)  # type: ignore[misc]


def test_an_edited_checkpoint_ends_the_commands_in_a_line(trained_run: Path, tmp_path: Path) -> None:
    state = load_checkpoint(trained_run / "checkpoints" / BEST) | {"optimizer": {}}
    for path, value in (
        (("settings", "input_size"), 60_000),
        (("settings", "num_segments"), 10**8),
        (("settings", "batch_size"), 10**9),
        (("settings", "lr"), "a"),
        (("settings",), MISSING),
        (("version",), MISSING),
        (("version",), torch.zeros(2)),
        (("classes",), [str(number) for number in range(100_000)]),
        (("classes",), 3),
        (("frames",), {"size": 3}),
        (("history",), [{}]),
        (("model", "backbone.fc.1.bias"), torch.full((4,), float("nan"))),
        (("model", "backbone.fc.1.bias"), torch.zeros(4).to_sparse()),
    ):
        torch.save(changed(state, path, value), tmp_path / "edited.pt")
        assert refused(lambda: load_trained(tmp_path / "edited.pt"), DataError) is not None, path


def test_a_network_too_large_for_the_memory_is_refused_before_anything_is_served(
    changed_run: Callable[..., Path],
) -> None:
    run = changed_run("run", settings={"input_size": 16_384})
    with pytest.raises(SettingsError, match=r"to score a clip needs about .* GiB are free on cpu: use fewer"):
        evaluated(run, gpus="0", protocol="10crop")


def test_a_batch_that_was_trained_elsewhere_is_scored_in_smaller_ones(
    changed_run: Callable[..., Path], trained_run: Path
) -> None:
    run = changed_run("run", settings={"batch_size": 1_000_000})
    found, wanted = (evaluated(one, gpus="0").scored.values for one in (run, trained_run))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_finite_weights_whose_answers_are_none_are_told(changed_run: Callable[..., Path], trained_run: Path) -> None:
    weights = load_checkpoint(trained_run / "checkpoints" / BEST)["model"]
    run = changed_run("run", model=weights | {"backbone.fc.1.weight": torch.full((4, 512), 3e38)})
    with pytest.raises(DataError, match=r"best\.pt gives no numbers for 7 of 7 clips, the first is Colour0/v_12"):
        evaluated(run, gpus="0")


class Payload:
    """Writes a file where it is unpickled by a loader that runs what it is told."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_payload_never_runs(trained_run: Path, tmp_path: Path, protocol: int, old: bool) -> None:
    """Of either protocol: one names what it calls in one word, the other in two, which is torch's own to refuse."""
    state = load_checkpoint(trained_run / "checkpoints" / BEST)
    ran, path = tmp_path / "ran", tmp_path / "payload.pt"
    torch.save(state | {"epoch": Payload(ran)}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not old)
    for use in (load_checkpoint, load_trained, read_pt):
        with pytest.raises(DataError, match="cannot be read as a checkpoint"):
            use(path)
    with pytest.raises(DataError, match="cannot be read as weights"):
        load_weights(build_model("resnet18", num_classes=4, dropout=0), "resnet18", str(path))
    assert not ran.exists()
    torch.load(path, weights_only=False)
    assert ran.exists()  # it would have


def test_a_file_that_swells_as_it_is_read_is_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.zeros(1_000_000)}, tmp_path / "plain.pt")
    path = tmp_path / "deflated.pt"
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as deflated:
        for name in plain.namelist():
            deflated.writestr(name, plain.read(name))
    with pytest.raises(DataError, match="it is compressed"):
        read_pt(path)

    class Large:
        def __reduce__(self) -> tuple[Any, ...]:
            return bytearray, (10**11,)

    torch.save({"model": Large()}, path)
    with pytest.raises(DataError, match=r"it holds __builtin__ bytearray|it holds builtins bytearray"):
        read_pt(path)


def test_a_flipped_bit_is_noticed_without_a_digest_beside(trained_run: Path, tmp_path: Path) -> None:
    for name in ("checkpoints/best.pt", "model.safetensors"):
        content = bytearray((trained_run / name).read_bytes())
        content[len(content) // 2] ^= 1
        path = tmp_path / Path(name).name
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is damaged: its (CRC32|SHA-256) is another"):
            load_trained(path)


FACTS_TEXTS = ("", "[]", "{}", "{", "NaN", "[" * 100_000, '{"settings": NaN}', '{"history": 3}', "1" * 5000)


@pytest.mark.parametrize("text", FACTS_TEXTS, ids=range(len(FACTS_TEXTS)))
def test_facts_of_safetensors_that_are_none_are_one_line(trained_run: Path, tmp_path: Path, text: str) -> None:
    save_file(load_file(trained_run / "model.safetensors"), tmp_path / "a.safetensors", metadata={"tsn": text})
    assert refused(lambda: load_trained(tmp_path / "a.safetensors"), DataError) is not None


def test_every_fact_of_safetensors_is_checked(trained_run: Path, tmp_path: Path) -> None:
    with safe_open(trained_run / "model.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["tsn"])
    for path in places(facts):
        for value in (MISSING, None, -1, 1.5, "a", [], {}, {"a": []}):
            refused(
                lambda path=path, value=value: facts_of(changed(facts, path, value), Path("a")),  # type: ignore[misc]
                DataError,
            )


@pytest.fixture
def run_copy(trained_run: Path, tmp_path: Path) -> Path:
    """A folder with the config.json and metrics.jsonl of a finished run."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (folder / name).write_bytes((trained_run / name).read_bytes())
    return folder


def test_every_field_of_config_json_is_checked(run_copy: Path, tmp_path: Path) -> None:
    file = run_copy / "config.json"
    config = json.loads(file.read_text())
    plain = tuple(value for value in ANYTHING if not isinstance(value, bytes | Tensor) and not same(value, {1: 2}))
    values = [value for value in plain if not isinstance(value, int) or abs(value) < 10**4000]
    settings = TrainSettings(resume=str(run_copy))
    tried = 0
    for path in places(config):
        if path[0] == "versions":
            continue
        for value in (MISSING, *values):
            try:
                file.write_text(json.dumps(changed(config, path, value)))
            except RecursionError:
                text = json.dumps(changed(config, path, "DEEP"))
                file.write_text(text.replace('"DEEP"', "[" * 5000 + "]" * 5000))
            refused(lambda: read_config(run_copy), DataError)
            refused(lambda: place_run(settings, frozenset()), DataError, SettingsError)
            tried += 1
    assert tried > 700


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "3", "{", "[" * 100_000, '{"settings": {}, "split": 3}', '{"settings": NaN, "split": {}}', "\0"],
    ids=range(9),
)
def test_a_config_json_that_is_none_is_one_line(run_copy: Path, text: str) -> None:
    (run_copy / "config.json").write_text(text)
    assert refused(lambda: compare([run_copy], run_copy / "a.png"), DataError) is not None
    assert refused(lambda: place_run(TrainSettings(resume=str(run_copy)), frozenset()), DataError) is not None


def test_a_config_json_or_history_that_is_no_file_is_not_waited_for(run_copy: Path) -> None:
    for name in ("config.json", "metrics.jsonl"):
        whole = (run_copy / name).read_bytes()
        for kind in ("fifo", "device", "sparse", "folder"):
            (run_copy / name).unlink()
            if kind == "fifo":
                os.mkfifo(run_copy / name)
            elif kind == "device":
                (run_copy / name).symlink_to("/dev/zero")
            elif kind == "sparse":
                (run_copy / name).touch()
                os.truncate(run_copy / name, 1 << 40)
            else:
                (run_copy / name).mkdir()
            said = refused(lambda: compare([run_copy], run_copy / "a.png"), DataError, SettingsError)
            assert said is not None, (name, kind)
            (run_copy / name).rmdir() if kind == "folder" else (run_copy / name).unlink()
            (run_copy / name).write_bytes(whole)


def test_every_field_of_the_history_is_checked(run_copy: Path) -> None:
    file = run_copy / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    drawn = 0
    for path in places(rows):
        for value in (MISSING, None, True, -1, 1.5, 10**30, "a", [], {}, [[]], {"a": 1}):
            file.write_text("".join(json.dumps(row) + "\n" for row in changed(rows, path, value)))
            if refused(lambda: read_history(run_copy), DataError) is None and drawn < 4:
                side_by_side(compare([run_copy], run_copy / "a.png"))  # what is let through can be used
                drawn += 1
    for text in ("3\n", "{}\n", "[" * 100_000 + "\n", "null\n", '{"epoch": NaN}\n', "\udcff"):
        file.write_text(text, errors="surrogateescape")
        assert refused(lambda: read_history(run_copy), DataError) is not None


def test_a_checkpoint_of_another_run_is_refused(state: dict[str, Any], go_on: GoOn) -> None:
    for path, value, words in (
        (("classes",), ["a", "b", "c", "d"], "it is of other classes or training clips than this run"),
        (("train_sha256",), "0" * 64, "it is of other classes or training clips than this run"),
        (("settings", "momentum"), 0.5, r"settings.momentum is 0.5, in config.json 0.9"),
        (("position",), 0, "position is in epoch 0, but the history has 2 epochs"),
        (("optimizer", "param_groups", 0, "momentum"), 0.5, "it must be 0.9, as the settings say"),
        (("tally",), {"loss": 0, "hits": 2, "clips": 1, "seconds": 0.0, "waited": 0.0}, "more hits than clips"),
    ):
        said = refused(lambda path=path, value=value: go_on(changed(state, path, value)), DataError)  # type: ignore[misc]
        assert said is not None
        assert words in said


def test_names_that_do_not_belong_are_told_from_those_that_lack(state: dict[str, Any], go_on: GoOn) -> None:
    name = "backbone.0.bias"
    for model, words in (
        (changed(state["model"], (name,), MISSING), f"model.{name} is missing"),
        (state["model"] | {"other": torch.zeros(1)}, "model.other is unknown"),
    ):
        said = refused(lambda model=model: go_on(state | {"model": model}), DataError)  # type: ignore[misc]
        assert said is not None
        assert words in said


def test_a_checkpoint_of_no_classes_is_refused_as_such(state: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"last\.pt cannot be used: classes are none"):
        facts_of(state | {"classes": []}, Path("last.pt"))
