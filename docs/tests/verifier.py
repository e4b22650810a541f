"""Has the auditor's own program (`docs/guides/verify_log.py`) read a log that the gateway has just written."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from http.client import HTTPSConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERIFY = ROOT / "docs" / "guides" / "verify_log.py"
REQUESTS = 300  # more than one tile
START_TIMEOUT_S = 20.0
CONFIGURATION = """\
threads = 1
listener.main = { address = "127.0.0.1:0", tls = { certificate = "tls.pem", key = "tls.key" } }
audit = { folder = "log", key = "log.key", origin = "docs.example/audit" }
issuer.one = { url = "https://one.example", audiences = ["docs"], assurance = "task", jwks_file = "keys.json" }
upstream.none = { url = "https://upstream.invalid", sign_in = "none" }
route.all = { path = "/", upstream = "none" }
"""
# The public key of RFC 8037, appendix A.2: nothing is ever signed with it here.
KEYS = {
    "keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "rfc8037", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ]
}


def can_run() -> bool:
    """Whether this Python has what the auditor's program needs."""
    return importlib.util.find_spec("cryptography") is not None


def faults(program: str, folder: Path) -> list[str]:
    """What is wrong. `folder` is empty but for `tls.pem` and `tls.key`."""
    (folder / "airgate.toml").write_text(CONFIGURATION)
    (folder / "keys.json").write_text(json.dumps(KEYS))
    write_log(program, folder)
    key = folder / "log.vkey"
    config = str(folder / "airgate.toml")
    key.write_text(run([program, "audit", "key", "--config", config]).stdout)
    wrong = []
    done = verify(folder / "log", key)
    # Besides the refusals: the gateway's own notes that it started and stopped.
    if done.returncode != 0 or f"verified: {REQUESTS + 2} entries" not in done.stdout:
        wrong.append(f"it does not accept the gateway's log: {done.stdout}{done.stderr}".strip())
    for file in (
        "tile/entries/000",
        "tile/0/000",
        f"tile/0/001.p/{REQUESTS + 2 - 256}",
        "tile/1/000.p/1",
        "checkpoint",
    ):
        changed = folder / "changed"
        shutil.copytree(folder / "log", changed)
        content = bytearray((changed / file).read_bytes())
        content[len(content) // 2] ^= 1
        (changed / file).write_bytes(content)
        if verify(changed, key).returncode == 0:
            wrong.append(f"it accepts a log with a changed byte in `{file}`")
        shutil.rmtree(changed)
    return wrong


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """A program that ends by itself."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def verify(log: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """The auditor's program."""
    return run([sys.executable, str(VERIFY), str(log), str(key)])


def write_log(program: str, folder: Path) -> None:
    """A gateway that refuses some requests, and stops in good order."""
    said = folder / "serve.log"
    argv = [program, "serve", "--config", str(folder / "airgate.toml")]
    with said.open("w") as stderr, subprocess.Popen(argv, stderr=stderr) as gateway:
        try:
            port = listening(gateway, said)
            context = ssl.create_default_context(cafile=str(folder / "tls.pem"))
            context.check_hostname = False
            connection = HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
            for number in range(REQUESTS):
                connection.request("GET", f"/{number}")
                connection.getresponse().read()
            connection.close()
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
        finally:
            gateway.kill()


def listening(gateway: subprocess.Popen[bytes], said: Path) -> int:
    """The port that the gateway says it has taken."""
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and gateway.poll() is None:
        found = re.search(r"address=127\.0\.0\.1:(\d+)", said.read_text())
        if found:
            return int(found[1])
        time.sleep(0.05)
    message = f"the gateway does not listen:\n{said.read_text()}"
    raise RuntimeError(message)
