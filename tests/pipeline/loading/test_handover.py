"""DALI's outputs as torch's own: copies that outlive what they were copied from, and few outputs held."""

from typing import Any

import pytest
import torch

from tsn.pipeline.loading.handover import HELD, Handover

pytestmark = pytest.mark.needs_cuda


class Output:
    """What DALI gives of a run: memory that it will write again."""

    def __init__(self, value: float) -> None:
        self.tensor = torch.full((4, 8), value, device="cuda")

    def as_tensor(self) -> Any:
        return self.tensor


def test_a_copy_keeps_its_values_when_the_output_is_written_again() -> None:
    handover, outputs = Handover(), [Output(float(number)) for number in range(4)]
    copies = [handover.take(output) for output in outputs]
    for output in outputs:
        output.tensor.fill_(-1)
    assert [set(copy.flatten().tolist()) for copy in copies] == [{0.0}, {1.0}, {2.0}, {3.0}]
    assert len(handover._held) <= HELD
    handover.close()
    assert len(handover._held) == 0
