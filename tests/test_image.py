"""Pictures of any kind are read as the 32×32 digits that the models know, or refused by name."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from data_folders import encode
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from gurmukhi.dataset import read_split
from gurmukhi.errors import (
    BlankImageError,
    ImageError,
    ImageTooLargeError,
    TruncatedImageError,
    UndecodableImageError,
)
from gurmukhi.image import INVERTED, SEVERAL_GLYPHS, decode, fit_frame, read_grey
from gurmukhi.synthetic import synthetic_digits

Pixels = NDArray[np.uint8]
DIGITS, LABELS = synthetic_digits(200, 99)
DIGIT = DIGITS[3]
SCENE = np.random.default_rng(4)

# Pillow warns of much that it reads all the same; a command keeps that to itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


def enlarge(
    digit: Pixels, *, factor: int = 8, margin: int = 4, ink: int = 40, paper: int = 235
) -> Pixels:
    """Write a digit in grey ink on off-white paper, with soft edges and a margin."""
    side = 32 * factor
    soft = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    share = np.pad(np.asarray(soft) / 255, margin * factor, constant_values=1.0)
    return clip(ink + (paper - ink) * share)


def clip(values: NDArray[np.float64]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255).round(), dtype=np.uint8)


def slope(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """From 0 to 1 across a picture in some direction."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    angle = SCENE.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * x + np.sin(angle) * y
    return np.asarray((ramp - ramp.min()) / np.ptp(ramp))


def shaded(digit: Pixels, depth: float = 0.6) -> Pixels:
    grey = enlarge(digit)
    return clip(grey * (1 - depth * slope(grey.shape)))


def half_in_shadow(digit: Pixels) -> Pixels:
    grey = enlarge(digit, factor=10, margin=6)
    edge = Image.fromarray(((slope(grey.shape) > 0.55) * 255).astype(np.uint8))
    shadow = np.asarray(edge.filter(ImageFilter.GaussianBlur(7))) / 255
    return clip(grey * (1 - 0.5 * shadow))


def noisy(digit: Pixels, deviation: float = 25) -> Pixels:
    grey = enlarge(digit)
    return clip(grey + SCENE.normal(0, deviation, grey.shape))


def dusty(digit: Pixels) -> Pixels:
    picture = Image.fromarray(enlarge(digit, factor=10, margin=6))
    draw = ImageDraw.Draw(picture)
    for x, y in SCENE.integers(0, picture.width, (6, 2)):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=60)
    return np.asarray(picture)


def turned(digit: Pixels) -> bytes:
    """A picture that lies on its side and says so in its EXIF orientation."""
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90° clockwise
    out = io.BytesIO()
    Image.fromarray(np.rot90(enlarge(digit))).save(out, "JPEG", exif=exif, quality=80)
    return out.getvalue()


def coloured(digit: Pixels) -> bytes:
    """Blue ink on yellowish paper."""
    share = enlarge(digit, ink=0, paper=255)[..., None] / 255
    picture = clip(share * (250, 240, 200) + (1 - share) * (30, 40, 160))
    return encode(picture, "JPEG", quality=70)


def transparent(digit: Pixels) -> bytes:
    """Black ink on nothing."""
    picture = Image.new("LA", (256, 256), 0)
    picture.putalpha(Image.fromarray(255 - enlarge(digit, margin=0, ink=0, paper=255)))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


SCENES: dict[str, Callable[[Pixels], bytes]] = {
    "three times as large": lambda d: encode(enlarge(d, factor=3, margin=1)),
    "twenty times as large": lambda d: encode(enlarge(d, factor=20, margin=3)),
    "without a margin": lambda d: encode(enlarge(d, margin=0)),
    "small on a large sheet": lambda d: encode(enlarge(d, factor=6, margin=40)),
    "pale ink": lambda d: encode(enlarge(d, ink=150, paper=215)),
    "white on black": lambda d: encode(255 - enlarge(d)),
    "a poor JPEG": lambda d: encode(enlarge(d, factor=6), "JPEG", quality=25),
    "a poor WebP": lambda d: encode(enlarge(d, factor=6), "WEBP", quality=25),
    "noise": lambda d: encode(noisy(d)),
    "dust": lambda d: encode(dusty(d)),
    "a shadow across": lambda d: encode(shaded(d), "JPEG", quality=75),
    "a shadow's edge": lambda d: encode(half_in_shadow(d), "JPEG", quality=75),
    "white on unevenly black": lambda d: encode(255 - shaded(d, 0.5), "JPEG", quality=75),
    "turned by EXIF": turned,
    "coloured": coloured,
    "transparent": transparent,
}


@cache
def example_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(2000, 1024) of other digits, ±1, and their labels."""
    images, labels = synthetic_digits(2000, 98)
    return signs_of(images), labels


def signs_of(images: Pixels) -> NDArray[np.float32]:
    return (images.reshape(len(images), -1) / 127.5 - 1).astype(np.float32)


def nearest_labels(images: Pixels) -> NDArray[np.int64]:
    """The labels of the example digits that look most alike."""
    examples, labels = example_digits()
    nearest: NDArray[np.int64] = labels[(signs_of(images) @ examples.T).argmax(axis=1)]
    return nearest


def hold_to_scene(scene: str, digits: Pixels) -> None:
    """At least 95 % are read as they were, and none is taken for several digits."""
    read = [decode(SCENES[scene](digit)) for digit in digits]
    same = nearest_labels(np.stack([image.pixels for image in read])) == nearest_labels(digits)
    assert same.mean() >= 0.95
    assert not any(SEVERAL_GLYPHS in image.warnings for image in read)


@pytest.mark.parametrize("scene", SCENES)
def test_a_digit_is_read_as_before_in(scene: str) -> None:
    hold_to_scene(scene, DIGITS[:40])


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_two_hundred_digits_are_read_as_before_in(scene: str) -> None:
    hold_to_scene(scene, DIGITS)


def test_no_synthetic_digit_changes_on_its_way_through_the_decoder() -> None:
    for digit in DIGITS:
        assert np.array_equal(decode(encode(digit)).pixels, digit)


@pytest.mark.parametrize("name", ["train", "test"])
def test_no_real_digit_is_taken_for_several(real_folder: Path, name: str) -> None:
    split = read_split(real_folder, name)  # type: ignore[arg-type]  # mypy widens the parameter
    for pixels in split.images:
        assert fit_frame(enlarge(pixels, factor=3, margin=1)).warnings == ()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "1-bit TIFF"])
def test_a_fitted_bilevel_picture_passes_bit_for_bit(kind: str) -> None:
    for digit in DIGITS[:20]:
        assert np.array_equal(decode(encode(digit, kind)).pixels, digit)


def test_any_fitted_bilevel_picture_passes_unless_it_is_inverted() -> None:
    for ink in (0.05, 0.3, 0.49):
        pixels = np.where(SCENE.random((32, 32)) < ink, 0, 255).astype(np.uint8)
        pixels[0], pixels[-1] = 255, 255
        assert np.array_equal(fit_frame(pixels).pixels, pixels)
        assert fit_frame(pixels).warnings == ()


def test_an_inverted_digit_is_put_right_and_said_to_be() -> None:
    for digit in DIGITS[:20]:
        assert np.array_equal(decode(encode(255 - digit)).pixels, digit)
        assert decode(encode(255 - digit)).warnings == (INVERTED,)


MODES = [
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
]


def in_mode(grey: Pixels, kind: str, mode: str) -> bytes:
    picture = Image.fromarray(grey)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray((grey / 255).astype(np.float32))
    else:
        picture = picture.convert(mode)
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "mode"), MODES)
def test_every_pixel_format_is_read_alike(kind: str, mode: str) -> None:
    grey = enlarge(DIGIT, ink=0, paper=255)
    grey[grey < 128], grey[grey >= 128] = 0, 255
    read = decode(in_mode(grey, kind, mode))
    assert (read.pixels != DIGIT).mean() < 0.02  # JPEG and WebP blur the edges
    assert read.warnings == ()


def test_a_16_bit_picture_may_use_a_part_of_its_range() -> None:
    values = enlarge(DIGIT).astype(np.uint16) * 16  # 12 bits, as many scanners give
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    assert (decode(out.getvalue()).pixels != DIGIT).mean() < 0.02


def test_the_first_frame_of_several_is_read() -> None:
    frames = [Image.fromarray(enlarge(digit)).convert("RGB") for digit in DIGITS[:3]]
    for kind, options in (("TIFF", {}), ("WEBP", {"lossless": True})):
        out = io.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:], **options)
        assert (decode(out.getvalue()).pixels != DIGITS[0]).mean() < 0.02


def test_a_transparent_colour_of_a_palette_is_paper() -> None:
    picture = Image.fromarray(enlarge(DIGIT, ink=0, paper=255)).point(lambda v: 1 if v > 127 else 0)
    palette = picture.convert("P")
    palette.putdata(np.asarray(picture).ravel().tolist())
    palette.putpalette([0, 0, 0, 9, 9, 9])  # both nearly black: only transparency tells
    out = io.BytesIO()
    palette.save(out, "PNG", transparency=1)
    assert (decode(out.getvalue()).pixels != DIGIT).mean() < 0.02


@pytest.mark.parametrize("down", [False, True])
def test_two_digits_are_said_to_be_several(down: bool) -> None:
    pair = [enlarge(digit, factor=4, margin=4) for digit in (DIGITS[0], DIGITS[1])]
    assert SEVERAL_GLYPHS in fit_frame(np.concatenate(pair, axis=0 if down else 1)).warnings


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("side", [1, 32, 200])
def test_a_picture_of_one_grey_is_blank(value: int, side: int) -> None:
    with pytest.raises(BlankImageError, match="is blank"):
        decode(encode(np.full((side, side), value, np.uint8)))


def test_faint_noise_on_paper_is_blank() -> None:
    noise = clip(SCENE.normal(230, 4, (200, 200)))
    with pytest.raises(BlankImageError):
        decode(encode(noise))
    with pytest.raises(BlankImageError):
        decode(in_mode(noise, "PNG", "I;16"))


def test_a_shadow_on_empty_paper_is_blank() -> None:
    for _ in range(20):
        with pytest.raises(BlankImageError, match="light and shadow, but no ink"):
            decode(
                encode(clip(230 * (1 - 0.6 * slope((200, 200))) + SCENE.normal(0, 2, (200, 200))))
            )


def test_a_picture_of_nothing_is_blank() -> None:
    with pytest.raises(BlankImageError):
        decode(encode(np.zeros((40, 40, 4), np.uint8)))


@pytest.mark.parametrize("deviation", [40, 100, 500])
def test_mere_noise_is_an_image_or_refused(deviation: int) -> None:
    for side in (16, 32, 33, 200):
        check(encode(clip(SCENE.normal(128, deviation, (side, side)))))


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 700), (700, 1), (3, 5000), (31, 32)])
def test_any_shape_is_an_image_or_refused(shape: tuple[int, int]) -> None:
    check(encode((SCENE.random(shape) < 0.5).astype(np.uint8) * 255))


def check(data: bytes) -> None:
    """A digit or an ImageError of one short line; anything else fails."""
    try:
        image = decode(data, max_pixels=4_000_000)
    except ImageError as error:
        message = str(error)
    else:
        assert image.pixels.shape == (32, 32)
        assert image.pixels.dtype == np.uint8
        assert set(np.unique(image.pixels)) <= {0, 255}
        return
    assert "\n" not in message
    assert 0 < len(message) < 300


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header states a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


@pytest.mark.parametrize("side", [7072, 9460, 13400, 100_000, 2**31 - 1])
def test_a_header_that_states_too_many_pixels_is_too_large(side: int) -> None:
    with pytest.raises(ImageTooLargeError):
        decode(png_that_says(side, side))


def test_the_limit_of_pixels_is_the_callers() -> None:
    data = encode(enlarge(DIGIT))
    assert decode(data, max_pixels=320 * 320).warnings == ()
    with pytest.raises(ImageTooLargeError, match=r"is 320×320; at most 102399 pixels"):
        decode(data, max_pixels=320 * 320 - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"P5 32 32 255 " + bytes(1024),
        b"MZ" + bytes(100),
    ],
)
def test_what_is_no_picture_of_ours_is_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableImageError, match="not a PNG, BMP, TIFF, JPEG or WEBP image"):
        decode(data)


def test_a_format_that_is_not_ours_is_undecodable() -> None:
    for kind in ("GIF", "PPM", "ICO", "TGA"):
        with pytest.raises(UndecodableImageError):
            decode(encode(DIGIT, kind))


def test_no_bytes_are_undecodable() -> None:
    with pytest.raises(UndecodableImageError, match="empty"):
        decode(b"")


KINDS = ["PNG", "BMP", "TIFF", "1-bit TIFF", "JPEG", "WEBP"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_cut_off_anywhere_is_an_image_error(kind: str) -> None:
    whole = encode(enlarge(DIGIT, factor=2, margin=1), kind)
    for end in {*range(0, len(whole), max(1, len(whole) // 60)), *range(40)}:
        check(whole[:end])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG"])
def test_half_a_picture_is_truncated(kind: str) -> None:
    whole = encode(enlarge(DIGIT), kind)
    with pytest.raises(TruncatedImageError, match=rf"the {kind} image of 320×320 ends after"):
        decode(whole[: len(whole) // 2])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_digit_or_an_image_error(data: bytes) -> None:
    check(data)


@settings(max_examples=300)
@given(
    st.sampled_from(MODES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=30),
    st.booleans(),
)
def test_any_damage_to_a_picture_is_a_digit_or_an_image_error(
    mode: tuple[str, str], changes: list[tuple[float, int]], in_header: bool
) -> None:
    data = bytearray(in_mode(enlarge(DIGIT, factor=2, margin=1), *mode))
    length = min(100, len(data)) if in_header else len(data)
    for place, value in changes:
        data[min(int(place * length), length - 1)] = value
    check(bytes(data))


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1), st.integers(2, 256))
def test_any_grey_picture_is_a_digit_or_blank(
    height: int, width: int, seed: int, levels: int
) -> None:
    grey = np.random.default_rng(seed).integers(0, levels, (height, width)) * (255 // (levels - 1))
    check(encode(grey.astype(np.uint8)))


def test_a_phones_picture_is_shrunk_while_it_is_read() -> None:
    large = Image.fromarray(enlarge(DIGIT, factor=40, margin=8)).resize((3000, 4000))
    out = io.BytesIO()
    large.convert("RGB").save(out, "JPEG")
    assert max(read_grey(out.getvalue()).shape) <= 1024
    assert nearest_labels(decode(out.getvalue()).pixels[None]) == nearest_labels(DIGIT[None])
