import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tsn.train.network.dropout import ClipDropout, key_dropout, philox
from tsn.tsn_shared.draws import philox as reference

CPU = torch.device("cpu")


@given(position=st.integers(0, 2**40), seed=st.integers(0, 2**64 - 1), purpose=st.integers(2, 9))
def test_numbers_are_those_of_the_shared_generator(position: int, seed: int, purpose: int) -> None:
    got = philox(torch.tensor([[position]]), torch.arange(5)[None], seed=seed, purpose=purpose)
    expected = reference((position & 0xFFFFFFFF, position >> 32, np.arange(5), purpose), seed)
    assert np.array_equal(got[0].numpy(), expected)


def dropped(positions: list[int], *, p: float = 0.9, layer: int = 0, seed: int = 0, segments: int = 3) -> torch.Tensor:
    module = ClipDropout(p, seed=seed, layer=layer, positions=torch.tensor(positions)).train()
    kept: torch.Tensor = module(torch.ones(len(positions) * segments, 500))
    return kept.view(len(positions), segments, 500)


def test_a_clips_mask_is_its_own_wherever_it_stands_in_a_batch() -> None:
    batch = dropped([3, 11, 4])
    assert torch.equal(batch[1], dropped([11])[0])
    assert not torch.equal(batch[0], batch[1])
    assert not torch.equal(batch[0, 0], batch[0, 1])  # nor are the segments of a clip dropped alike
    assert not torch.equal(dropped([3], layer=1), dropped([3]))
    assert not torch.equal(dropped([3], seed=1), dropped([3]))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_features_are_dropped_with_probability_p_and_the_others_scaled(p: float) -> None:
    values = dropped(list(range(40)), p=p)
    assert torch.unique(values).tolist() == pytest.approx([0, 1 / (1 - p)])
    assert (values == 0).float().mean().item() == pytest.approx(p, abs=0.01)


def test_nothing_is_dropped_in_evaluation_or_at_0_and_everything_at_1() -> None:
    ones = torch.ones(2, 6)
    module = ClipDropout(0.9, seed=0, layer=0, positions=torch.zeros(1, dtype=torch.int64))
    assert torch.equal(module.eval()(ones), ones)
    assert torch.equal(dropped([0], p=0.0), torch.ones(1, 3, 500))
    assert torch.equal(dropped([0], p=1.0), torch.zeros(1, 3, 500))


def test_all_dropouts_of_a_model_are_keyed_by_layer_and_share_the_places() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.ReLU(), nn.Dropout(0.9)))
    keys = set(model.state_dict())
    positions = key_dropout(model, seed=7, batch_size=4, device=CPU)
    found = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [(type(module), module.p) for module in found] == [(ClipDropout, 0.5), (ClipDropout, 0.9)]
    assert [module.layer for module in found if isinstance(module, ClipDropout)] == [0, 1]
    assert all(module.positions is positions for module in found if isinstance(module, ClipDropout))
    assert set(model.state_dict()) == keys
