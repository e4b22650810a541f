from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from airgate_provider.client import Gateway
from tests.gateway import Server, certificate, serving


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(tls: tuple[Path, Path]) -> Iterator[Server]:
    with serving(*tls) as running:
        yield running


@pytest.fixture
def gateway(server: Server, tls: tuple[Path, Path]) -> Gateway:
    return Gateway(server.url, ca_file=str(tls[0]))


def write_key(path: Path, private: Ed25519PrivateKey | None = None) -> Path:
    made = private or Ed25519PrivateKey.generate()
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.private_bytes(*encoding))
    path.chmod(0o600)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write_key(tmp_path / "issuer.pem")
