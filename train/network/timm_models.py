"""Any image model of timm as a backbone: its row is made when it is asked for, and only then is timm imported.

The model itself, pooled and without its classifier, is `trunk`, under the names that timm gives its tensors; our
dropout and last layer follow as `last`.
"""

import logging
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tsn.train.network.backbones import Backbone, last_layer
from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import DataError, SettingsError, brief
from tsn.tsn_shared.nearest import nearest
from tsn.tsn_shared.normalisation import Normalisation
from tsn.tsn_shared.settings import TIMM

TRUNK, LAST = "trunk.", "last"

NEAREST = 4
"""Names that are offered in place of one that is not known."""

FILTERS = ("checkpoint_filter_fn", "_filter_fn")
"""Functions of a timm module that bring the names and shapes of weights from elsewhere to its own."""


@dataclass(frozen=True, kw_only=True)
class OwnInput:
    """What a network was made for: pictures `size` pixels high and wide, normalised so."""

    size: int
    normalisation: Normalisation


def own_input(name: str) -> OwnInput:
    """Return what a model of timm was made for, by its configuration there; SettingsError where that is not RGB."""
    timm, config = _timm(), _config(name)
    stated = timm.data.resolve_data_config({}, pretrained_cfg=config.to_dict())
    channels, height, width = stated["input_size"]
    if channels != 3 or height != width:
        raise SettingsError(f"--model {name}: it takes {channels} x {height} x {width}: RGB squares are needed")
    return OwnInput(size=height, normalisation=Normalisation(mean=tuple(stated["mean"]), std=tuple(stated["std"])))


def timm_backbone(name: str) -> Backbone:
    """Return the row of a model of timm, called timm/NAME; SettingsError, with the nearest names, for no such model."""
    config = _config(name)
    first, classifier = config.first_conv, config.classifier or ()
    return Backbone(
        build=partial(_build, name),
        first_layer=TRUNK + first if isinstance(first, str) else "",
        last_layer=LAST,
        imagenet=partial(HubWeights, config),
        left_out=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        adapt=_adapted,
    )


class HubWeights:
    """The weights that timm offers for a model, as torchvision's `WeightsEnum` offers its own."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self.url = config.url
        if config.hf_hub_id:
            file = config.hf_hub_filename or "model.safetensors"
            self.url = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file}"

    def get_state_dict(self, **_: Any) -> dict[str, Tensor]:
        """Download them, or take them from the cache of the Hugging Face hub."""
        from huggingface_hub.errors import LocalEntryNotFoundError
        from timm.models import load_state_dict_from_hf

        config = self._config
        if not self.url or config.custom_load:
            raise OSError("timm has none for it that are plain tensors")
        hub = logging.getLogger("huggingface_hub")
        level = hub.level
        hub.setLevel(logging.ERROR)  # of each of its tries it would tell
        try:
            if not config.hf_hub_id:
                return dict(torch.hub.load_state_dict_from_url(config.url, map_location="cpu", weights_only=True))
            file = {"filename": config.hf_hub_filename} if config.hf_hub_filename else {}
            return dict(load_state_dict_from_hf(config.hf_hub_id, **file))
        except LocalEntryNotFoundError:
            raise OSError("the Hugging Face hub does not answer, and its cache has none") from None
        finally:
            hub.setLevel(level)


def _build(name: str, num_classes: int, dropout: float, input_size: int) -> nn.Module:
    trunk = _trunk(name, input_size)
    width = getattr(trunk, "head_hidden_size", None) or trunk.num_features
    last = nn.Sequential(nn.Dropout(dropout), last_layer(width, num_classes))
    return nn.Sequential(OrderedDict({TRUNK[:-1]: trunk, LAST: last}))


def _trunk(name: str, input_size: int) -> Any:
    """Build the model without its classifier and without anything random in training.

    Not every model has each of the options; those of a fixed input size take `img_size`, others any picture.
    """
    options: dict[str, object] = {"drop_rate": 0.0, "drop_path_rate": 0.0, "img_size": input_size}
    while True:
        try:
            with _quiet():
                trunk = _timm().create_model(name.removeprefix(TIMM), num_classes=0, **options)
            break
        except TypeError as error:
            unknown = [option for option in options if f"'{option}'" in str(error)]
            if not unknown:
                raise
            del options[unknown[0]]
        except (AssertionError, ValueError) as error:
            raise SettingsError(f"--input-size {input_size} does not fit {name}: {brief(error)}") from None
    _drop_nothing(trunk)
    return trunk


def _drop_nothing(trunk: nn.Module) -> None:
    """Set every rate at which a model drops features, paths, blocks or patches to 0, whatever it was built with."""
    from timm.layers.drop import DropBlock2d, DropPath
    from timm.layers.patch_dropout import PatchDropout

    for module in trunk.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, DropPath | DropBlock2d):
            module.drop_prob = 0.0
        elif isinstance(module, PatchDropout):
            module.prob = 0.0
        if isinstance(getattr(module, "drop_rate", None), float):
            vars(module)["drop_rate"] = 0.0


def _adapted(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of timm, or of the place that timm has them from, under the names of ours.

    timm's own functions rename torchvision's and the authors' tensors, and bring embeddings of positions to the input
    size. They are made for whole networks: DataError where one fails.
    """
    if any(key.startswith((TRUNK, f"{LAST}.")) for key in state):
        return state
    trunk = network.get_submodule(TRUNK[:-1])
    module = sys.modules[type(trunk).__module__]
    rename = next((getattr(module, name) for name in FILTERS if hasattr(module, name)), None)
    if rename is not None:
        try:
            with _quiet():
                state = rename(state, trunk) if rename.__code__.co_argcount > 1 else rename(state)
        except Exception as error:  # of tensors of other shapes it raises anything
            raise DataError(f"the weights are not of this network: {type(error).__name__}: {brief(error)}") from None
    return {TRUNK + key: value for key, value in state.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep timm's own words about what it does from the terminal."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError:
        raise SettingsError(
            "--model timm/NAME needs timm: pip install '.[timm]' where tsn was installed from"
        ) from None
    return timm


@cache
def _config(name: str) -> Any:
    """Return timm's configuration of a model; SettingsError for one that it does not have."""
    timm, wanted = _timm(), name.removeprefix(TIMM)
    plain, _, tag = wanted.partition(".")
    known = timm.list_models() if not tag or not timm.is_model(plain) else timm.list_pretrained(f"{plain}.*")
    if wanted not in known:
        near = nearest(wanted, known, most=NEAREST, cutoff=0.4)
        words = f"; near it are {', '.join(TIMM + other for other in near)}" if near else ""
        raise SettingsError(f"--model {schema.word(name)}: timm {timm.__version__} has no such model{words}")
    return timm.get_pretrained_cfg(wanted)
