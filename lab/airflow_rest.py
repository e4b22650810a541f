"""Airflow's REST API, called from outside the lab's namespace.

A socket belongs to the namespace of the thread that makes it: a short-lived thread enters the lab's, connects, and
hands the socket out. No process is started for a call.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import queue
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common import ADDRESS, LabError

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
TIMEOUT_S = 30.0
BODY_BYTES_MAX = 32 * 1024 * 1024


class RestError(LabError):
    """An answer that is not 2xx."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"Airflow answered `{method} {path}` with {status}: {body[:500]}")
        self.status = status


class NotReached(LabError):
    """No answer: nothing listens, or not yet."""


def connect_inside(netns: str, port: int) -> socket.socket:
    """A TCP connection to the lab's loopback address, made inside the namespace."""
    outcome: queue.SimpleQueue[socket.socket | OSError] = queue.SimpleQueue()

    def body() -> None:
        try:
            descriptor = os.open(f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Only this thread enters, and it ends with this function: it need not come back.
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(descriptor)
            outcome.put(socket.create_connection((ADDRESS, port), timeout=TIMEOUT_S))
        except OSError as error:
            outcome.put(error)

    threading.Thread(target=body, daemon=True).start()
    made = outcome.get(timeout=TIMEOUT_S + 5)
    if isinstance(made, OSError):
        raise made
    return made


class _Connection(http.client.HTTPSConnection):
    """HTTPS over a socket from inside the namespace, with the real name for SNI and the certificate."""

    def __init__(self, netns: str, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S, context=context)
        self._netns = netns
        self._tls = context

    def connect(self) -> None:
        self.sock = self._tls.wrap_socket(connect_inside(self._netns, self.port), server_hostname=self.host)


class Rest:
    """The API of one Airflow, as one user."""

    def __init__(self, netns: str, host: str, port: int, ca: Path) -> None:
        self._netns, self._host, self._port = netns, host, port
        self._context = ssl.create_default_context(cafile=str(ca))
        self._token: str | None = None

    def sign_in(self, user: str, password: str) -> None:
        """Gets the token for all later calls."""
        answer = self.json("POST", "/auth/token", {"username": user, "password": password})
        self._token = str(answer["access_token"])

    def text(self, method: str, path: str, body: object = None, accept: str = "application/json") -> str:
        """One call; the answer's body."""
        headers = {"Accept": accept}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = _Connection(self._netns, self._host, self._port, self._context)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read(BODY_BYTES_MAX).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise NotReached(f"no answer from Airflow at `{self._host}:{self._port}`: {error}") from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise RestError(method, path, response.status, content)
        return content

    def json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One call; the answer's JSON object."""
        value = json.loads(self.text(method, path, body))
        if not isinstance(value, dict):
            raise LabError(f"Airflow answered `{method} {path}` with something that is not an object")
        return value


def segment(text: str) -> str:
    """Text as one segment of a path."""
    return quote(text, safe="")
