"""grpc.reflection.v1alpha.ServerReflection: the services described, for callers without stubs.

Source: github.com/grpc/grpc, doc/server-reflection.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gurmukhi.health import health_pb2
from gurmukhi.inference import open_inference_grpc_pb2
from gurmukhi.v1 import digits_pb2
from server.service import AnyMethod, Call, StreamMethod

_FILES: tuple[FileDescriptor, ...] = (
    digits_pb2.DESCRIPTOR,
    open_inference_grpc_pb2.DESCRIPTOR,  # this and the next live in pools of their own
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)


class ReflectionService:
    """Answers from the library's own servicer; knows no transport."""

    name: Final = reflection.SERVICE_NAME

    def __init__(self, services: Iterable[str]) -> None:
        names = [*services, self.name]
        self._library: Any = reflection.ReflectionServicer(names, pool=described_pool(names))
        request_type = reflection_pb2.ServerReflectionRequest
        self.methods: Mapping[str, AnyMethod] = {
            "ServerReflectionInfo": StreamMethod(request_type, self.describe)
        }

    def describe(self, requests: Iterator[Any], call: Call) -> Iterator[Any]:
        """Answer each question."""
        answers: Iterator[Any] = self._library.ServerReflectionInfo(requests, None)
        return answers


def described_pool(services: Iterable[str]) -> DescriptorPool:
    """A pool with the files of all services; raises KeyError where it lacks one of `services`."""
    pool = DescriptorPool()
    for file in _FILES:
        _add(pool, file, set())
    for name in services:
        pool.FindServiceByName(name)
    return pool


def _add(pool: DescriptorPool, file: FileDescriptor, seen: set[str]) -> None:
    if file.name in seen:
        return
    seen.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, seen)
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    pool.Add(proto)
