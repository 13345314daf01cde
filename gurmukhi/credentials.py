"""How a client trusts a server, and proves who it is: a CA, a certificate, a bearer token."""

import argparse
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from gurmukhi.command import Parser
from gurmukhi.errors import DataError


@dataclass(frozen=True, slots=True)
class Credentials:
    """What every call to a server carries; by default nothing, over plain text."""

    channel: grpc.ChannelCredentials | None = None  # None is plain text
    server_name: str = ""  # to expect in the certificate; "" is the name that is dialled
    token: str = ""


PLAIN: Final = Credentials()


def add_credential_flags(parser: Parser) -> None:
    """The flags of TLS, mutual TLS and tokens, the same in every command that calls a server."""
    flags = parser.add_argument_group("TLS and tokens")
    for name, text in (
        ("--tls-ca", "dial with TLS, and trust servers whose certificate this CA signed, PEM"),
        ("--tls-cert", "mutual TLS: our own certificate chain, PEM"),
        ("--tls-key", "its private key, PEM"),
        ("--token-file", "send the bearer token that this file's first line holds"),
    ):
        flags.add_argument(name, type=Path, metavar="FILE", help=text)
    flags.add_argument(
        "--tls-server-name",
        default="",
        metavar="NAME",
        help="the name in the servers' certificate, where they are dialled by address",
    )


def read_credentials(parser: Parser, arguments: argparse.Namespace) -> Credentials:
    """What the flags name; raises DataError, and ends the command where they do not go together."""
    ca, cert, key = arguments.tls_ca, arguments.tls_cert, arguments.tls_key
    if (cert is None) != (key is None):
        parser.error("--tls-cert and --tls-key go together")
    for flag, value in (("--tls-cert", cert), ("--tls-server-name", arguments.tls_server_name)):
        if value and not ca:
            parser.error(f"{flag} needs --tls-ca")
    return Credentials(
        _read_pem(ca, cert, key) if ca else None,
        arguments.tls_server_name,
        _read_token(arguments.token_file) if arguments.token_file else "",
    )


def _read_pem(ca: Path, cert: Path | None, key: Path | None) -> grpc.ChannelCredentials:
    # grpc would take any bytes, and fail at the first call; ssl looks into the files.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise _unusable("--tls-ca", ca, "no certificate of a CA", error) from error
    if cert is None or key is None:
        return grpc.ssl_channel_credentials(ca.read_bytes())
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except OSError as error:
        where = f"{cert}, {key}"
        raise _unusable("--tls-cert", where, "no certificate with its key", error) from error
    return grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), cert.read_bytes())


def _no_password() -> str:
    """Refuse an encrypted key; ssl would ask the terminal, and gRPC cannot read it."""
    raise DataError("--tls-key: is encrypted; expected one without a password")


def _unusable(flag: str, where: Path | str, lacks: str, error: OSError) -> DataError:
    if isinstance(error, ssl.SSLError):
        return DataError(f"{flag} {where}: {lacks} ({error.reason or 'not PEM'})")
    return DataError(f"{flag} {where}: cannot be read ({error.strerror})")


def _read_token(path: Path) -> str:
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise DataError(f"--token-file {path}: cannot be read ({why})") from error
    if not words:
        raise DataError(f"--token-file {path}: holds no token")
    return words[0]
