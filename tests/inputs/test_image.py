"""Every mode, orientation and size of image; damaged and dangerous ones become a reason."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as TF

from resnet_diffeo_probe.inputs import Preprocessing
from resnet_diffeo_probe.inputs.image import UnreadableImageError, read_picture, recognize

AS_IS = Preprocessing()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def refused(path, preprocessing=AS_IS) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_picture(path, None, preprocessing)
    return str(caught.value)


def test_rgb_and_grey_are_exact(tmp_path):
    rgb, grey = noise(5, 7, 3), noise(5, 7)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (read_picture(tmp_path / "rgb.png", 3, AS_IS).pixels == rgb.transpose(2, 0, 1)).all()
    assert (read_picture(tmp_path / "rgb.png", None, AS_IS).pixels == rgb.transpose(2, 0, 1)).all()
    assert (read_picture(tmp_path / "grey.png", 1, AS_IS).pixels == grey[None]).all()
    assert read_picture(tmp_path / "grey.png", None, AS_IS).pixels.shape == (1, 5, 7)
    assert (read_picture(tmp_path / "grey.png", 3, AS_IS).pixels == grey[None]).all()
    assert read_picture(tmp_path / "rgb.png", None, AS_IS).notes == ()


@pytest.mark.parametrize(
    ("mode", "suffix", "note"),
    [
        ("RGBA", "png", "transparency"),
        ("LA", "png", "transparency"),
        ("P", "png", "palette"),
        ("P", "gif", "palette"),
        ("1", "png", None),
        ("CMYK", "jpg", "CMYK"),
        ("CMYK", "tiff", "CMYK"),
        ("YCbCr", "tiff", "YCbCr"),
        ("LAB", "tiff", "LAB"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_modes(tmp_path, mode, suffix, note, channels):
    path = tmp_path / f"a.{suffix}"
    original = Image.fromarray(noise(6, 6, 3))
    if mode == "LAB":
        Image.merge("LAB", original.split()).save(path)
    else:
        original.convert(mode).save(path)
    picture = read_picture(path, channels, AS_IS)
    assert picture.pixels.shape == (channels, 6, 6)
    if note:
        assert any(note in text for text in picture.notes)


def test_palette_with_transparency_does_not_warn(tmp_path):
    image = Image.fromarray(noise(4, 4, 3)).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes([0, 128] * 128))
    assert read_picture(tmp_path / "a.png", 3, AS_IS).pixels.shape == (3, 4, 4)


def test_sixteen_bits(tmp_path):
    values = np.array([[0, 257, 65535], [128, 129, 32768]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", 1, AS_IS)
    assert picture.pixels.tolist() == [[[0, 1, 255], [0, 1, 128]]]
    assert any("16-bit" in note for note in picture.notes)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert read_picture(tmp_path / "a.tiff", 3, AS_IS).pixels.shape == (3, 2, 3)


def test_pixels_of_unknown_range(tmp_path):
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "f.tiff")
    Image.fromarray(np.full((2, 2), 70000, dtype=np.int32)).save(tmp_path / "i.tiff")
    assert "unknown range" in refused(tmp_path / "f.tiff")
    assert "unknown range" in refused(tmp_path / "i.tiff")


def test_orientation(tmp_path):
    pixels = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    turned = read_picture(tmp_path / "a.png", 3, AS_IS).pixels.transpose(1, 2, 0)
    assert (turned == np.rot90(pixels, -1)).all()


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (257, 999), (224, 225), (100, 50), (1000, 230)])
@pytest.mark.parametrize("size", [224, 32])
def test_resize_and_crop_are_torchvisions(tmp_path, shape, size):
    pixels = noise(*shape, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = Image.fromarray(pixels)
    expected = TF.center_crop(TF.resize(image, round(size * 256 / 224)), [size, size])
    got = read_picture(tmp_path / "a.png", 3, Preprocessing(size=size)).pixels
    assert (got == np.asarray(expected).transpose(2, 0, 1)).all()


def test_an_image_of_the_right_size_is_not_touched(tmp_path):
    pixels = noise(32, 40, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = read_picture(tmp_path / "a.png", 3, Preprocessing(size=(32, 40))).pixels
    assert (got == pixels.transpose(2, 0, 1)).all()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    target=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_any_size_comes_out_right(tmp_path, height, width, target):
    Image.fromarray(noise(height, width)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", None, Preprocessing(size=target)).pixels.shape == (1, *target)


def test_enlarging_is_noted(tmp_path):
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.png")
    assert any(
        "enlarged" in note for note in read_picture(tmp_path / "a.png", 1, Preprocessing(size=32)).notes
    )


def test_several_frames(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), value, dtype=np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.tiff", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / "a.tiff", 1, AS_IS)
    assert (picture.pixels == 10).all()
    assert any("first frame" in note for note in picture.notes)


def png(width: int, height: int, data: bytes) -> bytes:
    """A grey PNG of any announced size, made by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_500, 14_000, 60_000])
def test_decompression_bombs(tmp_path, side, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(side, side, b""))
    for limit in (Image.MAX_IMAGE_PIXELS, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnreadableImageError, match="decompression bomb"):
            recognize(tmp_path / "a.png")
        assert "decompression bomb" in refused(tmp_path / "a.png")


def test_long_and_thin(tmp_path):
    (tmp_path / "a.png").write_bytes(png(50_000_000, 1, b""))
    assert refused(tmp_path / "a.png", Preprocessing(size=32))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (png(8, 8, b""), "damaged"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"GIF89a", "image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nquit\n%%EOF\n", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    ],
)
def test_files_that_are_no_images(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    assert reason in refused(tmp_path / "a.png")


def test_truncated_and_flipped_bytes(tmp_path):
    Image.fromarray(noise(20, 20, 3)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    assert "damaged" in refused(tmp_path / "a.jpg")
    for position in range(0, len(content), 11):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        (tmp_path / "a.jpg").write_bytes(bytes(flipped))
        try:
            read_picture(tmp_path / "a.jpg", 3, AS_IS)
        except UnreadableImageError as error:
            assert str(error)
