"""Fills the domain's database with the lab's accounts and exports their keytabs.

Runs under the system's Python, the only one that has Samba's modules, before the domain controller starts: it writes
straight into the database. Usage: ad_accounts.py <smb.conf> <sam.ldb> <folder for keytabs>
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import ldb  # type: ignore[import-not-found]
import samba.dckeytab  # type: ignore[import-not-found]
from samba import dsdb
from samba.auth import system_session  # type: ignore[import-not-found]
from samba.credentials import Credentials  # type: ignore[import-not-found]
from samba.net import Net  # type: ignore[import-not-found]
from samba.param import LoadParm  # type: ignore[import-not-found]
from samba.samdb import SamDB  # type: ignore[import-not-found]

DOMAIN = "lab.test"
AES_ONLY = "24"  # msDS-SupportedEncryptionTypes: AES128 and AES256
ANY_PROTOCOL = dsdb.UF_TRUSTED_TO_AUTHENTICATE_FOR_DELEGATION


class Directory:
    """The domain's database, opened by file."""

    def __init__(self, parameters: LoadParm, database: str) -> None:
        credentials = Credentials()
        credentials.guess(parameters)
        session = system_session(parameters)
        self.sam = SamDB(url=database, session_info=session, credentials=credentials, lp=parameters)

    def add(
        self,
        name: str,
        *,
        spns: Sequence[str] = (),
        delegates_to: Sequence[str] = (),
        flags: int = 0,
        upn: str | None = None,
    ) -> None:
        """An account with a random password that nobody knows: the lab signs in by keytab or by delegation only."""
        self.sam.newuser(name, secrets.token_urlsafe(24) + "aA1!")
        found = self.sam.search(
            self.sam.domain_dn(), expression=f"(sAMAccountName={name})", attrs=["userAccountControl"]
        )[0]
        control = int(str(found["userAccountControl"][0])) | dsdb.UF_DONT_EXPIRE_PASSWD | flags
        values: dict[str, list[str]] = {
            "userAccountControl": [str(control)],
            "msDS-SupportedEncryptionTypes": [AES_ONLY],
            "userPrincipalName": [upn or f"{name}@{DOMAIN}"],
            "servicePrincipalName": list(spns),
            "msDS-AllowedToDelegateTo": list(delegates_to),
        }
        message = ldb.Message()
        message.dn = found.dn
        for attribute, value in values.items():
            if value:
                message[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, attribute)
        self.sam.modify(message)


def main() -> None:
    """Adds all accounts, then exports the two keytabs."""
    configuration, database, folder = sys.argv[1:]
    parameters = LoadParm()
    parameters.load(configuration)
    directory = Directory(parameters, database)

    directory.add("svc-iis", spns=["HTTP/iis.lab.test", "HTTP/iis"])
    directory.add("svc-iis2", spns=["HTTP/other.lab.test"])  # the gateway may not delegate to this one
    delegates_to = ["HTTP/iis.lab.test", "HTTP/iis"]
    directory.add("svc-gw", spns=["HTTP/gw.lab.test"], delegates_to=delegates_to, flags=ANY_PROTOCOL)
    for name in ("svc-orders", "svc-reports", "svc-payroll", "alice", "bob"):
        directory.add(name)
    # The part of the UPN before the `@` is not the account's name, and its suffix is not the realm.
    directory.add("EMEA01", upn="carol.long@corp.example")
    directory.add("disabled", flags=dsdb.UF_ACCOUNTDISABLE)
    directory.add("admin-sensitive", flags=dsdb.UF_NOT_DELEGATED)

    network = Net(None, parameters)
    assert samba.dckeytab  # adds `export_keytab` to Net
    for file, principal in (("svc-gw", "svc-gw"), ("iis", "HTTP/iis.lab.test")):
        network.export_keytab(keytab=str(Path(folder) / f"{file}.keytab"), principal=principal)


main()
