"""Certificate and key as Envoy reads them, followed while the server runs.

Source: Envoy's secret discovery service, from files. Envoy looks at a secret's file again when
another takes its place by a rename. The file names the PEM files by links, so that no key is
copied; new links make it another secret, which Envoy else would take for the same.
"""

import json
import logging
from pathlib import Path
from typing import Any, Final

from gurmukhi.errors import DataError
from server.tls import TlsFiles

_SECRET: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type

_log = logging.getLogger(__name__)


class Secrets:
    """The files of a server's secrets in a folder; one file a secret, as Envoy wants it."""

    def __init__(self, files: TlsFiles, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._seen = files.fingerprint()
        self._edition = 0
        self.certificate = folder / "certificate.json"
        self.client_ca = folder / "client_ca.json" if files.client_ca else None
        self._write()

    def refresh(self) -> None:
        """Have Envoy read what has changed, if it is good; what is bad is logged."""
        try:
            now = self._files.fingerprint()
            if now == self._seen:
                return
            self._seen = now
            self._files.read()
        except (OSError, DataError) as error:
            _log.error("the certificates stay as they were: %s", error)
            return
        self._write()
        _log.info("certificates read again from %s", self._files.cert)

    def _write(self) -> None:
        self._edition += 1
        links = self._folder / f"tls-{self._edition}"
        links.mkdir()
        certificate = {
            "certificate_chain": _linked(self._files.cert, links / "cert.pem"),
            "private_key": _linked(self._files.key, links / "key.pem"),
        }
        _replace(self.certificate, {"tls_certificate": certificate})
        if self.client_ca and self._files.client_ca:
            trusted = _linked(self._files.client_ca, links / "client_ca.pem")
            _replace(self.client_ca, {"validation_context": {"trusted_ca": trusted}})


def _linked(path: Path, link: Path) -> dict[str, str]:
    link.symlink_to(path.absolute())
    return {"filename": str(link)}


def _replace(path: Path, secret: dict[str, Any]) -> None:
    resource = {"@type": _SECRET, "name": path.stem, **secret}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"resources": [resource]}), encoding="utf-8")
    fresh.replace(path)
