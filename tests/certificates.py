"""A fixture of certificates: two CAs, and whom each has signed."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's certificate for localhost, a client's, and a stranger's of another CA."""
    folder = tmp_path_factory.mktemp("certificates")
    for ca in ("ca", "other"):
        _openssl(
            folder,
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem"),
        )
    names = {"named": "DNS:digits.example", "local": "DNS:localhost"}
    signers = dict.fromkeys(("server", "renewed", "client", "named", "local"), "ca")
    signers["stranger"] = "other"
    for name, ca in signers.items():
        _openssl(
            folder,
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        name_file = folder / "names"
        name_file.write_text(f"subjectAltName={names.get(name, 'DNS:localhost,IP:127.0.0.1')}")
        _openssl(
            folder,
            *("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-extfile", "names"),
            *("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial"),
            *("-out", f"{name}.pem"),
        )
    return folder


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
