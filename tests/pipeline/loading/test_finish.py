import torch

from tsn.pipeline.loading.finish import single_threads


def test_the_pools_threads_run_torch_alone_and_the_callers_number_stays() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for count in (1, 3):
            with single_threads(count) as pool:
                picture = torch.rand(64, 64)
                assert [pool.submit(_threads, picture).result() for _ in range(2 * count)] == [1] * 2 * count
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def _threads(picture: torch.Tensor) -> int:
    torch.addcmul(picture, picture, picture)  # torch may take the process's number with its first operation
    return torch.get_num_threads()
