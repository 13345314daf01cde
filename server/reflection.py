"""Gather the descriptors of the served protocols in one pool, for server reflection."""

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from gurmukhi.health import health_pb2
from gurmukhi.inference import open_inference_grpc_pb2
from gurmukhi.v1 import digits_pb2

_FILES: tuple[FileDescriptor, ...] = (
    digits_pb2.DESCRIPTOR,
    open_inference_grpc_pb2.DESCRIPTOR,  # this and the next live in pools of their own
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)


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
