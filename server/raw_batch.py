"""Read at once a batch of DigitService whose images are all raw pixels.

As bytes such images have one length and one beginning, so they are the rows of an array. What comes
after them is a message of its own, since the bytes of messages that follow one another are those of
both merged (protobuf.dev, "Encoding", "Last One Wins").
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gurmukhi.image import SIDE
from gurmukhi.v1 import digits_pb2 as pb

_PIXEL_BYTES: Final = SIDE * SIDE
_IMAGE: Final = pb.ClassifyBatchRequest(
    images=[pb.Image(pixels=bytes(_PIXEL_BYTES))]
).SerializeToString()
_BEGINNING: Final = np.frombuffer(_IMAGE, np.uint8)[:-_PIXEL_BYTES]


class RawBatch(NamedTuple):
    """A request in which the images have been read already."""

    asked: pb.ClassifyBatchRequest  # without images
    pixels: NDArray[np.uint8]  # (N, 32, 32)


def read_batch(data: bytes) -> pb.ClassifyBatchRequest | RawBatch:
    """A request; a RawBatch where raw images come first, as they are written, and no others.

    Raises DecodeError.
    """
    count = len(data) // len(_IMAGE)
    images = np.frombuffer(data, np.uint8, count * len(_IMAGE)).reshape(count, len(_IMAGE))
    if not count or not (images[:, : len(_BEGINNING)] == _BEGINNING).all():
        return pb.ClassifyBatchRequest.FromString(data)
    asked = pb.ClassifyBatchRequest.FromString(data[images.size :])
    if asked.images:
        return pb.ClassifyBatchRequest.FromString(data)
    # In one piece, as graphs take them.
    pixels = np.ascontiguousarray(images[:, len(_BEGINNING) :])
    return RawBatch(asked, pixels.reshape(count, SIDE, SIDE))
