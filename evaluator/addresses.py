"""Turn `--target` into the addresses to dial: one, a list, a file, or all behind a DNS name."""

import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Final

from gurmukhi.command import EXIT_USAGE
from gurmukhi.credentials import Credentials
from gurmukhi.errors import DataError

_DNS: Final = "dns:///"
_ADDRESS: Final = re.compile(r"(?:[^\s:\[\]/,]+|\[[0-9a-fA-F:.%a-z]+\]):(\d{1,5})")


def find_addresses(target: str) -> list[str]:
    """The addresses behind a target, each once, in order.

    `dns:///name:port` gives every address of the name, `a:1,b:2` is a list, the path of a file
    one address a line (# starts a comment). Raises AddressError, or UnresolvedError.
    """
    if target.startswith(_DNS):
        return _resolve(target)
    if Path(target).is_file():
        lines = (line.partition("#")[0] for line in Path(target).read_text("utf-8").splitlines())
        found = [line.strip() for line in lines if line.strip()]
    else:
        found = [part.strip() for part in target.split(",") if part.strip()]
    if not found:
        raise AddressError(f"--target {target}: names no address; expected HOST:PORT")
    return list(dict.fromkeys(_checked(target, address) for address in found))


def expect_name(credentials: Credentials, target: str) -> Credentials:
    """Credentials for the addresses of a target: behind `dns:///` they expect its name.

    The addresses are dialled, and a certificate is of the name. One that is given goes first.
    """
    if not credentials.channel or credentials.server_name or not target.startswith(_DNS):
        return credentials
    host = target.removeprefix(_DNS).rpartition(":")[0]
    return replace(credentials, server_name=host.strip("[]"))


def _checked(target: str, address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if address.startswith("unix:"):
        return address
    if match is None or not 0 < int(match[1]) < 65536:
        raise AddressError(f"--target {target}: {address!r} is no HOST:PORT")
    return address


def _resolve(target: str) -> list[str]:
    address = _checked(target, target.removeprefix(_DNS))
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnresolvedError(f"--target {target}: {host} has no address ({error})") from error
    addresses = []
    for family, *_, place in found:
        ip = str(place[0])
        addresses.append(f"[{ip}]:{port}" if family is socket.AF_INET6 else f"{ip}:{port}")
    return list(dict.fromkeys(addresses))


class AddressError(DataError):
    """What `--target` says is no address."""

    exit_code = EXIT_USAGE


class UnresolvedError(DataError):
    """A name has no address now; it may have one later."""

    exit_code = 3
