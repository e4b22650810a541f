"""The lab's gateway: `airgate serve` with a configuration like one in production, inside the lab's namespace."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import upstream
from ad import GATEWAY_PRINCIPAL, UPSTREAM_SPN, Domain
from ca import Authority
from common import ROOT, Lab, LabError, Process, run

PORT = 9443
AUDIENCE = f"https://gw.lab.test:{PORT}"
HOSTS = ("gw.lab.test", "orders.gw.lab.test", "bound.gw.lab.test", "assertion.gw.lab.test", "open.gw.lab.test")
ORIGIN = "gw.lab.test/audit"

CONFIGURATION = """\
# The lab's gateway. Paths are relative to this file.
[listener.main]
address = "127.0.0.1:{port}"
tls = {{ certificate = "{certificate}", key = "{key}" }}

[issuer.airflow]                        # the job assertions of the lab's Airflow
url = "{issuer}"
jwks_url = "{issuer}/jwks.json"
ca_file = "{ca}"
audiences = ["{audience}"]
assurance = "task"
{extra_issuer}
[upstream.orders]                       # signs in on every request
url = "{per_request}"
ca_file = "{ca}"
sign_in = {{ kerberos = {{ spn = "{spn}", keytab = "{keytab}", principal = "{principal}" }} }}

[upstream.bound]                        # signs in once per connection
url = "{per_connection}"
ca_file = "{ca}"
sign_in = {{ kerberos = {{ spn = "{spn}", keytab = "{keytab}", principal = "{principal}" }} }}

[upstream.assertion]                    # checks our signed assertion
url = "{anonymous}"
ca_file = "{ca}"
sign_in = {{ bearer_assertion = {{ issuer = "{audience}", audience = "https://iis.lab.test", key = "assertion.key" }} }}

[route.orders]
host = "orders.gw.lab.test"
upstream = "orders"

[route.bound]
host = "bound.gw.lab.test"
upstream = "bound"

[route.assertion]
host = "assertion.gw.lab.test"
upstream = "assertion"

[role.orders-writer]
allow = [{{ route = "orders", methods = ["GET", "POST"], paths = ["/api/orders/**"] }}]

[grant.nightly-orders]
issuer = "airflow"
where = {{ dag_id = "nightly_orders" }}
role = "orders-writer"
windows_identity = "svc-orders@LAB.TEST"
{extra_grants}
[audit]
folder = "log"
key = "log.key"
origin = "{origin}"
"""


def folder(lab: Lab) -> Path:
    """All of the gateway's files."""
    return lab.state / "gateway"


def binary() -> Path:
    """The program under test: `AIRGATE_BIN` names it."""
    path = Path(os.environ.get("AIRGATE_BIN", ""))
    if not path.is_file():
        raise LabError("set AIRGATE_BIN to the `airgate` program (`cargo build -p airgate` makes it)")
    return path


def configure(lab: Lab, issuer: str, *, extra_issuer: str = "", extra_grants: str = "") -> Path:
    """Writes the configuration and has `airgate check` read it."""
    home = folder(lab)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = Authority(lab.state / "tls")
    leaf = authority.issue("gateway", list(HOSTS))
    path = home / "airgate.toml"
    path.write_text(
        CONFIGURATION.format(
            port=PORT,
            certificate=leaf.certificate,
            key=leaf.key,
            issuer=issuer,
            ca=lab.state / "tls" / "ca.pem",
            audience=AUDIENCE,
            per_request=upstream.URLS["per_request"],
            per_connection=upstream.URLS["per_connection"],
            anonymous=upstream.URLS["anonymous"],
            spn=UPSTREAM_SPN,
            keytab=Domain(lab).gateway_keytab,
            principal=GATEWAY_PRINCIPAL,
            origin=ORIGIN,
            extra_issuer=extra_issuer,
            extra_grants=extra_grants,
        )
    )
    run([str(binary()), "check", "--config", str(path)])
    return path


def start(lab: Lab, configuration: Path) -> Process:
    """Starts `airgate serve`; returns when it listens."""
    process = lab.start("gateway", [str(binary()), "serve", "--config", str(configuration)])
    lab.wait_for_port(process, PORT)
    return process


def audit(configuration: Path, *arguments: str) -> Any:
    """What `airgate audit … --json` says."""
    done = run([str(binary()), "audit", *arguments, "--config", str(configuration), "--json"])
    return json.loads(done.stdout)


def cache() -> Path:
    """Where builds and environments are kept between runs, outside the tree."""
    base = os.environ.get("AIRGATE_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "airgate"


def build() -> Path:
    """The release build that users get. Sets AIRGATE_BIN for the rest of this run."""
    if "AIRGATE_BIN" not in os.environ:
        target = Path(os.environ.get("CARGO_TARGET_DIR", cache() / "target"))
        env = {**os.environ, "CARGO_TARGET_DIR": str(target)}
        run(["cargo", "build", "--release", "--locked", "-q", "-p", "airgate"], env=env, cwd=ROOT, timeout_s=1800)
        os.environ["AIRGATE_BIN"] = str(target / "release" / "airgate")
    return binary()
