"""TLS and mutual TLS for the gRPC port, from files that may change while the server runs."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from gurmukhi.errors import DataError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; with a client CA, only clients that it has signed are let in."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def fingerprint(self) -> tuple[tuple[int, int], ...]:
        """Changes when a file does."""
        paths = [path for path in (self.cert, self.key, self.client_ca) if path]
        return tuple((status.st_mtime_ns, status.st_ino) for status in map(Path.stat, paths))

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read and check the files; raises DataError."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # Of a key that is encrypted OpenSSL would ask at the terminal, and wait.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
            root = self.client_ca.read_bytes() if self.client_ca else None
            pair = (self.key.read_bytes(), self.cert.read_bytes())
        except ssl.SSLError as error:
            names = ", ".join(str(path) for path in (self.cert, self.key, self.client_ca) if path)
            raise DataError(f"{names}: no certificate with its key ({error.reason})") from error
        except OSError as error:
            where = error.filename or self.cert
            raise DataError(f"{where}: cannot be read ({error.strerror})") from error
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=root)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files: each handshake looks whether they changed.

    Raises DataError where they are bad now; later, bad ones are logged and the old ones kept.
    """
    seen = files.fingerprint()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        try:
            now = files.fingerprint()
            if now == seen:
                return None
            seen = now
            configuration = files.read()
        except (OSError, DataError) as error:
            _log.error("the certificates stay as they were: %s", error)
            return None
        _log.info("certificates read again from %s", files.cert)
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        files.read(),
        fetch,  # type: ignore[arg-type]  # None is for no change, as grpcio documents
        require_client_authentication=files.client_ca is not None,
    )
