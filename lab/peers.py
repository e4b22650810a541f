"""The parties that identity is checked against: npm packages and a virtual environment, by the lock files' exact versions.

They lie in the cache folder, one folder per set of versions, shared by all checkouts. `python3 lab/peers.py` installs them
and prints the folder, for AIRGATE_PEERS.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gateway
from common import ROOT, LabError, Step, main, run

SOURCE = ROOT / "conformance" / "identity"
NPM_FILES = ("package.json", "package-lock.json")
REQUIREMENTS = SOURCE / "requirements.txt"
NODE_MIN = 20
INSTALL_TIMEOUT_S = 600
# What the caller's shell holds must not change what is installed; mirrors and certificates may.
DROPPED_PREFIXES = ("NODE_OPTIONS", "NODE_PATH", "PYTHON", "PIP_TARGET", "VIRTUAL_ENV")


def fingerprint() -> str:
    """Names the set of packages and the interpreter."""
    parts = [(SOURCE / name).read_bytes() for name in NPM_FILES]
    parts += [REQUIREMENTS.read_bytes(), sys.version.encode(), sys.executable.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def folder() -> Path:
    """Where they are, or will be: `node_modules`, `venv`, and `complete` once both are whole."""
    return gateway.cache() / f"peers-{fingerprint()}"


def python() -> Path:
    """The interpreter that has the Python packages. Makes its environment unless it is there and whole."""
    venv = folder() / "venv"
    complete = folder() / "venv-complete"
    if not complete.exists():
        with _locked(), Step("joserfc"):
            if not complete.exists():
                shutil.rmtree(venv, ignore_errors=True)  # a part of an earlier attempt
                _make_venv(venv)
                complete.touch()
    return venv / "bin" / "python"


def ensure() -> Path:
    """Installs everything unless it is there and whole. Returns the folder."""
    node = require_node()
    python()
    complete = folder() / "complete"
    if not complete.exists():
        with _locked(), Step(f"oidc-provider, jose, oauth4webapi for {node}"):
            if not complete.exists():
                _install_npm()
                complete.touch()
    return folder()


def require_node() -> str:
    """The version of Node, which must be recent enough: says so at once otherwise."""
    help_ = f"install Node.js {NODE_MIN} or later, with npm, and put it on the PATH (Debian 12's own is too old)"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise LabError(f"`node` and `npm` are needed as peers of the gateway: {help_}")
    version = run(["node", "--version"], env=_environment()).stdout.strip()
    found = re.match(r"v(\d+)\.", version)
    if found is None or int(found[1]) < NODE_MIN:
        raise LabError(f"Node {version} is too old for oidc-provider: {help_}")
    return f"Node {version}"


def _make_venv(venv: Path) -> None:
    try:
        run([sys.executable, "-m", "venv", str(venv)], env=_environment())
    except LabError as error:
        raise LabError(f"{error}\nDebian keeps this module apart: `apt-get install -y python3-venv`") from None
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    install = ["install", "--quiet", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
    run([*pip, *install], env=_environment(), timeout_s=INSTALL_TIMEOUT_S)
    run([*pip, "check"], env=_environment())


def _install_npm() -> None:
    for name in NPM_FILES:
        shutil.copy(SOURCE / name, folder() / name)
    # The lock file's digests are checked; no package's own scripts run.
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    run(install, env=_environment(), cwd=folder(), timeout_s=INSTALL_TIMEOUT_S)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(DROPPED_PREFIXES)}


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One maker at a time; the others wait and then find it made."""
    folder().mkdir(mode=0o755, parents=True, exist_ok=True)
    with (gateway.cache() / ".peers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def command_line() -> int:
    """Installs them, and prints where: that alone on standard output, for a shell to take."""
    with contextlib.redirect_stdout(sys.stderr):
        installed = ensure()
    print(installed)
    return 0


if __name__ == "__main__":
    main(command_line)
