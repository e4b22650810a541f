"""The lab's Python: one virtual environment per set of pinned packages, shared by all labs and checkouts.

Each lab installs its own checkout's provider into its state folder, which comes first on the path of its Airflow. The
environment itself has the provider of the checkout that ran last, by reference, for its tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from common import ROOT, LabError, Step, run

REQUIREMENTS = ROOT / "lab" / "requirements.txt"
CONSTRAINTS = ROOT / "lab" / "constraints.txt"
PROVIDER = ROOT / "provider"
INSTALL_TIMEOUT_S = 900
# Airflow reads these at import: what the caller's shell holds must not reach the lab's Airflow.
DROPPED_PREFIXES = ("AIRFLOW", "_AIRFLOW", "PYTHON", "PIP_TARGET", "VIRTUAL_ENV")


def cache() -> Path:
    """The folder that outlives labs and checkouts: $AIRGATE_CACHE, or the user's cache folder."""
    own = os.environ.get("AIRGATE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgate"


def fingerprint() -> str:
    """Names the set of packages and the interpreter."""
    parts = [REQUIREMENTS.read_bytes(), CONSTRAINTS.read_bytes(), sys.version.encode(), sys.executable.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def folder() -> Path:
    """Where the virtual environment is, or will be."""
    return cache() / f"venv-{fingerprint()}"


def python() -> Path:
    """Its interpreter."""
    return folder() / "bin" / "python"


def clean_environment() -> dict[str, str]:
    """The caller's environment without what would change the lab's Airflow or its Python."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED_PREFIXES)}
    return {**kept, "PATH": f"{folder() / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"}


def ensure() -> Path:
    """Makes the virtual environment unless it is there and whole. Returns its interpreter."""
    complete = folder() / "complete"
    if complete.exists():
        return python()
    with _locked("venv"), Step(f"virtual environment with Airflow in {folder()}"):
        if not complete.exists():
            shutil.rmtree(folder(), ignore_errors=True)  # a part of an earlier attempt
            _make()
            complete.touch()
    return python()


def _make() -> None:
    try:
        run([sys.executable, "-m", "venv", str(folder())])
    except LabError as error:
        raise LabError(f"{error}\nDebian keeps this module apart: `apt-get install -y python3-venv`") from None
    pip = [str(python()), "-m", "pip", "--disable-pip-version-check"]
    environment = clean_environment()
    pinned = ["-r", str(REQUIREMENTS), "-c", str(CONSTRAINTS)]
    run([*pip, "install", "--quiet", *pinned], env=environment, timeout_s=INSTALL_TIMEOUT_S)
    run([*pip, "check"], env=environment)


def install_provider(site: Path) -> None:
    """Installs this checkout's provider, with its entry point, into a folder for PYTHONPATH; checks all packages."""
    shutil.rmtree(site, ignore_errors=True)
    pip = [str(ensure()), "-m", "pip", "--disable-pip-version-check"]
    source = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(PROVIDER)]
    run([*pip, "install", "--quiet", *source], env=clean_environment())
    run([*pip, "check"], env={**clean_environment(), "PYTHONPATH": str(site)})


def install_editable() -> None:
    """Points the environment's provider at this checkout's sources, unless it does already."""
    stamp = folder() / "provider"
    mark = f"{PROVIDER}\n{hashlib.sha256((PROVIDER / 'pyproject.toml').read_bytes()).hexdigest()}\n"
    with _locked("provider"):
        if stamp.exists() and stamp.read_text() == mark:
            return
        pip = [str(python()), "-m", "pip", "--disable-pip-version-check"]
        source = ["--no-deps", "--no-build-isolation", "--no-index", "--editable", str(PROVIDER)]
        run([*pip, "install", "--quiet", *source], env=clean_environment())
        run([*pip, "check"], env=clean_environment())
        stamp.write_text(mark)


def migrated_database() -> Path:
    """An empty, migrated SQLite database of this Airflow: made once, then copied."""
    database = cache() / f"airflow-{fingerprint()}.db"
    if database.exists():
        return database
    interpreter = ensure()
    with _locked("database"), Step("Airflow's database"):
        if not database.exists():
            home = cache() / f".airflow-home-{os.getpid()}"
            home.mkdir(mode=0o700)
            try:
                _migrate(interpreter, home)
                (home / "airflow.db").replace(database)
            finally:
                shutil.rmtree(home, ignore_errors=True)
    return database


def _migrate(interpreter: Path, home: Path) -> None:
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    run(
        [str(interpreter), "-m", "airflow", "db", "migrate"],
        env={**clean_environment(), **settings},
        timeout_s=300,
        cwd=home,
    )


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """One maker at a time; the others wait and then find it made."""
    cache().mkdir(mode=0o755, parents=True, exist_ok=True)
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
