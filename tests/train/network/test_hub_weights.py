"""timm's own download, from a hub on this machine that answers as the Hugging Face hub does."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import timm
from safetensors.torch import save

NAME, REPOSITORY, FILE = "resnet10t", "timm/resnet10t.c3_in1k", "model.safetensors"

LOAD = f"""
from tsn.train.network.model import build_model
from tsn.train.network.weights import load_weights
for _ in range(2):
    network = build_model("timm/{NAME}", num_classes=4, dropout=0, input_size=64)
    print(load_weights(network, "timm/{NAME}", "imagenet"))
    print(network.backbone.trunk.conv1[0].weight.sum().item())
"""


class Hub(BaseHTTPRequestHandler):
    """One file of one model: its size, hash and commit, then its bytes."""

    weights: ClassVar[bytes]
    asked: ClassVar[list[str]]

    def do_HEAD(self) -> None:
        found = self.path == f"/{REPOSITORY}/resolve/main/{FILE}"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.weights) if found else 0))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(self.weights).hexdigest()}"')
        self.end_headers()
        self.asked.append(f"{self.command} {self.path}")

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path.endswith(FILE):
            self.wfile.write(self.weights)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[type[Hub], str]]:
    """The hub's record of what it was asked for, and its address; it serves until the test ends."""
    state = timm.create_model(NAME).state_dict()
    state["conv1.0.weight"].fill_(0.25)
    kind = type("OneHub", (Hub,), {"weights": save(state), "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield kind, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_imagenet_weights_come_from_the_hub_once_and_fill_the_network(
    hub: tuple[type[Hub], str], tmp_path: Path
) -> None:
    kind, address = hub
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "no_proxy": "*", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True)
    first, total, again, its_total = done.stdout.splitlines()
    assert first.startswith(f"weights: timm's weights of timm/{NAME}; the last layer (last) is new")
    assert again == first
    assert float(total) == float(its_total) == 0.25 * 24 * 3 * 3 * 3
    assert kind.asked.count(f"GET /{REPOSITORY}/resolve/main/{FILE}") == 1
    assert kind.asked.count(f"HEAD /{REPOSITORY}/resolve/main/{FILE}") == 2
