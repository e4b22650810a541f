"""The lab's Active Directory: a Samba domain controller in the lab's namespace.

    python3 lab/ad.py --name test up        domain, upstream (upstream.py) and certificates, in about 15 s
    python3 lab/ad.py --name test status
    python3 lab/ad.py --name test kdc pause | continue | stop | start
    python3 lab/ad.py --name test down

Realm LAB.TEST. The gateway is svc-gw: its keytab lets it sign in as any user to HTTP/iis.lab.test (constrained
delegation with protocol transition) and to nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import upstream
from ca import Authority
from common import (
    ADDRESS,
    HOSTS,
    Lab,
    LabError,
    Process,
    Step,
    main,
    require_machine,
    require_packages,
    write_atomically,
)

REALM = "LAB.TEST"
DOMAIN = "lab.test"
KDC_PORT = 88
GATEWAY_PRINCIPAL = f"svc-gw@{REALM}"
UPSTREAM_SPN = f"HTTP/iis.lab.test@{REALM}"
# Samba's modules are Debian's: they belong to the system's Python, not to one from elsewhere.
SYSTEM_PYTHON = "/usr/bin/python3"

SMB_CONF = """\
[global]
  netbios name = DC1
  realm = {realm}
  workgroup = LAB
  server role = active directory domain controller
  server services = kdc, ldap
  dcerpc endpoint servers = epmapper
  interfaces = lo
  bind interfaces only = yes
  private dir = {folder}/private
  state directory = {folder}/state
  cache directory = {folder}/cache
  lock directory = {folder}/lock
  pid directory = {folder}/pid
  ncalrpc dir = {folder}/ncalrpc
  winbindd socket directory = {folder}/winbindd
  binddns dir = {folder}/bind
  log file = {folder}/log/log.%m
  log level = 1
  dns forwarder =
  disable netbios = yes
  disable spoolss = yes
  load printers = no
[sysvol]
  path = {folder}/sysvol
  read only = no
[netlogon]
  path = {folder}/sysvol/{domain}/scripts
  read only = no
"""

# No DNS anywhere: names are the lab's hosts file's, the KDC is given, and service principals are used as they are
# written. TCP only, so that a KDC that does not answer is seen as such and not tried again by other means.
KRB5_CONF = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 ignore_acceptor_hostname = true
 udp_preference_limit = 1
 forwardable = true
 default_ccache_name = FILE:{state}/ccache_%{{uid}}
[realms]
 {realm} = {{
  kdc = {address}:{port}
 }}
[domain_realm]
 .{domain} = {realm}
 {domain} = {realm}
"""


@dataclasses.dataclass(frozen=True)
class Domain:
    """Where the domain's files are."""

    lab: Lab

    @property
    def folder(self) -> Path:
        return self.lab.state / "samba"

    @property
    def smb_conf(self) -> Path:
        return self.folder / "smb.conf"

    @property
    def gateway_keytab(self) -> Path:
        return self.lab.state / "svc-gw.keytab"

    @property
    def upstream_keytab(self) -> Path:
        return self.lab.state / "iis.keytab"

    def provision(self) -> None:
        """Makes the domain's files and accounts. No process runs yet."""
        shutil.rmtree(self.folder, ignore_errors=True)
        folders = ["state", "cache", "lock", "pid", "ncalrpc", "winbindd", "log", "bind"]
        self.folder.mkdir(mode=0o700)
        for name in (*folders, "private", f"sysvol/{DOMAIN}/scripts"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "private").chmod(0o700)
        self.smb_conf.write_text(SMB_CONF.format(realm=REALM, domain=DOMAIN, folder=self.folder))
        self.lab.krb5_conf.write_text(
            KRB5_CONF.format(realm=REALM, domain=DOMAIN, address=ADDRESS, port=KDC_PORT, state=self.lab.state)
        )
        command = ["samba-tool", "domain", "provision", f"--configfile={self.smb_conf}", "--quiet"]
        identity = [f"--realm={REALM}", "--domain=LAB", "--host-name=dc1", f"--host-ip={ADDRESS}"]
        kind = ["--server-role=dc", "--dns-backend=NONE", "--function-level=2008_R2"]
        # In the namespace, so that nothing of the machine's own network is looked at.
        self.lab.run([*command, *identity, *kind, f"--option=sysvol:path={self.folder}/sysvol"])

    def add_accounts(self) -> None:
        """Accounts, delegation and keytabs, written while the controller is down."""
        for keytab in (self.gateway_keytab, self.upstream_keytab):
            keytab.unlink(missing_ok=True)
        program = Path(__file__).with_name("ad_accounts.py")
        database = self.folder / "private" / "sam.ldb"
        self.lab.run([SYSTEM_PYTHON, str(program), str(self.smb_conf), str(database), str(self.lab.state)])
        for keytab in (self.gateway_keytab, self.upstream_keytab):
            keytab.chmod(0o600)

    def start(self) -> Process:
        """Starts the controller. One process, so that one signal can silence all of it."""
        argv = ["samba", "--foreground", "--no-process-group", "--model=single", f"--configfile={self.smb_conf}"]
        process = self.lab.start("samba", argv)
        self.lab.wait_for_port(process, KDC_PORT)
        return process

    def check(self) -> None:
        """One whole sign-in with MIT's own tools: the gateway's ticket, then alice's for the upstream."""
        cache = {"KRB5CCNAME": f"FILE:{self.lab.state}/ccache_check"}
        try:
            self.lab.run(["kinit", "-k", "-t", str(self.gateway_keytab), GATEWAY_PRINCIPAL], env=cache, timeout_s=20)
            self.lab.run(["kvno", "-q", "-U", "alice", "-P", UPSTREAM_SPN], env=cache, timeout_s=20)
        finally:
            (self.lab.state / "ccache_check").unlink(missing_ok=True)


def kdc(lab: Lab, action: str) -> None:
    """Stops the KDC, silences it (it accepts connections and never answers), or brings it back."""
    domain = Domain(lab)
    process = lab.processes().get("samba")
    if action == "start":
        if process is None or not process.alive():
            domain.start()
        describe(lab)
        return
    if process is None or not process.alive():
        raise LabError(f"the KDC of lab `{lab.name}` does not run: `kdc start` starts it")
    if action == "stop":
        lab.stop("samba")
        describe(lab)
    else:
        process.signal(signal.SIGSTOP if action == "pause" else signal.SIGCONT)


def describe(lab: Lab) -> None:
    """Writes lab.json, which tests and other programs read to find everything."""
    domain = Domain(lab)
    description = {
        "name": lab.name,
        "netns": lab.netns,
        "state": str(lab.state),
        "realm": REALM,
        "spn": UPSTREAM_SPN,
        "spn_not_delegated": f"HTTP/other.lab.test@{REALM}",
        "principal": GATEWAY_PRINCIPAL,
        "keytab": str(domain.gateway_keytab),
        "krb5_conf": str(lab.krb5_conf),
        "ca": str(lab.state / "tls" / "ca.pem"),
        "tls": str(lab.state / "tls"),
        "hosts": list(HOSTS),
        "urls": upstream.URLS,
        "access_log": str(upstream.access_log(lab)),
        "pids": {name: process.pid for name, process in lab.processes().items() if process.alive()},
        "control": [sys.executable, str(Path(__file__).resolve()), "--name", lab.name],
    }
    write_atomically(lab.description, json.dumps(description, indent=1) + "\n")


def up(lab: Lab) -> None:
    """From nothing to a domain and an upstream that signs in by it. Leaves a lab that is up as it is."""
    require_machine()
    require_packages()
    running = {name for name, process in lab.processes().items() if process.alive()}
    if {"samba", "apache"} <= running:
        describe(lab)
        return
    lab.remove()
    lab.prepare()
    domain = Domain(lab)
    authority = Authority(lab.state / "tls")
    steps: list[tuple[str, Callable[[], object]]] = [
        (f"samba domain {DOMAIN}", domain.provision),
        ("accounts, delegation and keytabs", domain.add_accounts),
        (f"domain controller on {ADDRESS}:{KDC_PORT} in {lab.netns}", domain.start),
        ("delegated sign-in by MIT's own tools", domain.check),
        ("certificates", authority.ensure),
        ("upstream on ports 8443, 8444 and 8445", lambda: upstream.start(lab, authority, domain.upstream_keytab)),
    ]
    try:
        for title, action in steps:
            with Step(title):
                action()
    except BaseException:
        lab.remove(keep_files=True)  # the logs stay, for whoever looks for the cause
        raise
    describe(lab)


def status(lab: Lab) -> int:
    """Prints what runs. Exit code 0 if the whole lab is up."""
    processes = lab.processes()
    for process in processes.values():
        print(f"{process.name:<12} {'up' if process.alive() else 'down':<5} pid {process.pid}  {process.log}")
    complete = all(name in processes and processes[name].alive() for name in ("samba", "apache"))
    print(f"lab {lab.name}: {'up' if complete else 'not up'}, namespace {lab.netns}, files {lab.state}")
    if complete:
        print(f"  ip netns exec {lab.netns} env KRB5_CONFIG={lab.krb5_conf} AIRGATE_LAB={lab.state} <command>")
    return 0 if complete else 1


def command_line() -> int:
    """The verbs."""
    parser = argparse.ArgumentParser(description="The lab's Active Directory and upstream.")
    parser.add_argument("--name", default="lab", help="the lab's name: labs of different names do not meet")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start all; does nothing if it is up")
    down = verbs.add_parser("down", help="stop all and remove the namespace and the files")
    down.add_argument("--keep-files", action="store_true")
    verbs.add_parser("status", help="what runs; exit code 0 if all does")
    actions = verbs.add_parser("kdc", help="stop, silence or bring back the KDC alone")
    actions.add_argument("action", choices=["pause", "continue", "stop", "start"])
    options = parser.parse_args()

    lab = Lab(options.name)
    require_machine()
    match options.verb:
        case "up":
            up(lab)
            return status(lab)
        case "down":
            with Step(f"lab {lab.name} stopped"):
                lab.remove(keep_files=options.keep_files)
        case "kdc":
            kdc(lab, options.action)
        case _:
            return status(lab)
    return 0


if __name__ == "__main__":
    main(command_line)
