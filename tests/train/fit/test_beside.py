"""Work beside training: in order, and waited for."""

import threading

from tsn.train.fit.beside import Beside


def test_pieces_of_work_are_done_one_after_the_other_and_leaving_waits() -> None:
    done: list[int] = []
    gate = threading.Event()

    def late() -> None:
        gate.wait()
        done.append(1)

    with Beside("tsn-test") as beside:
        assert not beside.busy
        beside.begin(late)
        assert beside.busy
        assert done == []
        gate.set()
        beside.begin(lambda: done.append(2))
    assert done == [1, 2]
