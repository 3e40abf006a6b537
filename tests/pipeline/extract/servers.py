"""A real HTTP server on the loopback that serves bytes, slowly where asked."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Page = tuple[bytes, Mapping[str, str]]
"""What is served, and headers; X-Wait: seconds to wait at its end, X-Rate: bytes a second, Location: it moved."""

PIECE = 4096


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
