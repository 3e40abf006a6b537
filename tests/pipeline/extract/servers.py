"""Real servers on the loopback: HTTP that serves bytes, slowly where asked, and RTSP that serves a video; a pipe."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import imageio_ffmpeg

Page = tuple[bytes, Mapping[str, str]]
"""What is served, and headers; X-Wait: seconds to wait at its end, X-Rate: bytes a second, Location: it moved."""

PIECE = 4096

SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 32\r\na=control:streamid=0\r\n"
"""MPEG-1 and MPEG-2 video (RFC 3551): packets of 90,000 ticks a second, as everything else in RTP's own table."""


@contextmanager
def serving(pages: Mapping[str, Page]) -> Iterator[str]:
    """Serve pages by their paths, and give the address of the server."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            content, headers = pages.get(self.path, (b"", {}))
            self.send_response(404 if self.path not in pages else 302 if "Location" in headers else 200)
            for name, value in ({"Content-Length": str(len(content))} | dict(headers)).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the reader has gone
                self._send(content, float(headers.get("X-Rate", "0")))
                time.sleep(float(headers.get("X-Wait", "0")))

        def _send(self, content: bytes, rate: float) -> None:
            begun = time.monotonic()
            for at in range(0, len(content), PIECE):
                if rate:
                    time.sleep(max(0.0, begun + at / rate - time.monotonic()))
                self.wfile.write(content[at : at + PIECE])
                self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving_rtsp(video: Path, *, most: int = 1 << 30) -> Iterator[str]:
    """Serve a video by RTSP to one client, in its own time, and give its address; ffmpeg makes the RTP packets.

    After `most` packets the server goes away.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=_serve_rtsp, args=(server, video, most))
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve_rtsp(server: socket.socket, video: Path, most: int) -> None:
    with suppress(OSError), server.accept()[0] as client, client.makefile("rb") as lines:
        while request := lines.readline().split():
            headers = {}
            while line := lines.readline().strip():
                name, _, value = line.partition(b":")
                headers[name.strip().lower()] = value.strip().decode()
            how = {"CSeq": headers[b"cseq"], "Session": "1"}
            body = SDP if request[0] == b"DESCRIBE" else ""
            if request[0] == b"OPTIONS":
                how["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
            elif request[0] == b"DESCRIBE":
                how |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
            elif request[0] == b"SETUP":
                how["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
            text = "".join(f"{name}: {value}\r\n" for name, value in how.items())
            client.sendall(f"RTSP/1.0 200 OK\r\n{text}\r\n{body}".encode())
            if request[0] == b"PLAY":
                _relay(client, video, most)
                return


def _relay(client: socket.socket, video: Path, most: int) -> None:
    """Send the RTP packets that ffmpeg makes of a video, until it ends, or so many."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
        packets.bind(("127.0.0.1", 0))
        packets.settimeout(1.0)
        to = f"rtp://127.0.0.1:{packets.getsockname()[1]}?pkt_size=1400"
        words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-re", "-i", str(video), "-c", "copy", "-f", "rtp", to]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as ffmpeg:
            with suppress(TimeoutError, OSError):
                for _ in range(most):
                    packet = packets.recv(65536)
                    client.sendall(b"$\0" + len(packet).to_bytes(2) + packet)
            ffmpeg.kill()


@contextmanager
def standard_input(content: bytes) -> Iterator[None]:
    """Let standard input be a pipe that gives these bytes."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    writer = Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        writer.join()
