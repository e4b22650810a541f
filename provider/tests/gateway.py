"""A stand-in for the gateway: a real TLS server on a thread, with answers chosen by the path."""

from __future__ import annotations

import dataclasses
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

REQUEST_ID = "7f3c2c1e-95d0-4f0c-8d3f-0d8c2a54c1aa"


def problem(status: int, code: str, **members: Any) -> dict[str, Any]:
    """A problem document as the gateway writes it."""
    return {
        "type": f"urn:airgate:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": f"detail of {code}",
        "code": code,
        "help": f"help for {code}",
        "request_id": REQUEST_ID,
        **members,
    }


@dataclasses.dataclass
class Seen:
    """A request that reached the stand-in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Seen(self.command, self.path, headers, self.rfile.read(length)))
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            _, _, status, code = path.split("/")
            self.answer(int(status), "application/problem+json", problem(int(status), code, entry=41, route="orders"))
        elif path == "/app/500":
            self.answer(500, "text/html", "<h1>Server Error in '/' Application.</h1>")
        elif path == "/app/forged":
            forged = problem(403, "not_granted", detail="forged by the app", request_id="another", entry=1)
            self.answer(403, "application/problem+json", forged)
        elif path == "/redirect":
            self.answer(302, "text/plain", "", {"Location": "https://elsewhere.example/take?it=1"})
        elif path == "/large":
            self.answer(200, "text/plain", "x" * 100_000)
        elif path == "/silent":
            self.server.released.wait(10)
            self.close_connection = True
        elif path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.server.released.is_set():
                self.wfile.write(b"x")
                time.sleep(0.05)
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")
            self.close_connection = True
        else:
            self.answer(200, "application/json", {"user": "svc-orders@LAB.TEST"})

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def answer(self, status: int, kind: str, body: Any, headers: dict[str, str] | None = None) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        named = {"airgate-request-id": REQUEST_ID, "airgate-entry": "41"}
        fields = {"Content-Type": kind, "Content-Length": str(len(content)), **named, **(headers or {})}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or that does not trust the certificate, is part of the tests."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, which is its own CA, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    ca_file, key_file = folder / "ca.pem", folder / "server.key"
    ca_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ca_file, key_file


@contextmanager
def serving(ca_file: Path, key_file: Path) -> Iterator[Server]:
    """The stand-in, serving until the end of the block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    server = Server(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join(5)
        server.server_close()
