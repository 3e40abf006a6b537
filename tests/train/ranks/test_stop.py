"""Signals that ask to stop are remembered while a training listens, and passed on."""

import multiprocessing
import os
import signal
import time

import pytest

from tsn.train.ranks.stop import SIGNALS, signal_children, stop_requests


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_remembered_and_told_and_the_handlers_before_come_back(number: signal.Signals) -> None:
    before = {one: signal.getsignal(one) for one in SIGNALS}
    told: list[int] = []
    with stop_requests(then=told.append) as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
    assert told == [number]
    assert {one: signal.getsignal(one) for one in SIGNALS} == before


def test_two_trainings_of_a_process_share_no_request() -> None:
    with stop_requests() as first:
        os.kill(os.getpid(), signal.SIGUSR1)
    with stop_requests() as second:
        assert (first.asked, second.asked) == (True, False)


def test_children_get_the_signal() -> None:
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        signal_children(signal.SIGTERM)
        child.join(30)
        assert child.exitcode == -signal.SIGTERM
    finally:
        child.kill()
