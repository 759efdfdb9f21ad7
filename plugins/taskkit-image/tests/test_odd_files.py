"""Every odd image file is read rightly or refused with a word: what is in the file decides, not what it is called."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from taskkit import DataError
from taskkit_image.arrays import TURNS
from taskkit_image.decode import pixels
from taskkit_image.opening import ORIENTATION

RED, GREEN, BLUE, GREY, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255)
UNTURNED = {1: None, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""How a picture must be turned to be stored so that this orientation brings it upright again."""


def scene(*corners):
    """24×16 pixels with a colour in each quarter, so that no turn of it looks like another."""
    colors = np.array(corners or (RED, GREEN, BLUE, GREY), np.uint8).reshape(2, 2, 3)
    return Image.fromarray(colors.repeat(8, axis=0).repeat(12, axis=1))


SCENE = scene()
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
EXACT, LOSSY = 0, 12


def saved(image=SCENE, **options):
    """Write a picture in the format of its name, or in `format`."""
    return lambda path: image.save(path, **options)


def content(*parts):
    """Write these bytes."""
    return lambda path: path.write_bytes(b"".join(parts))


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def exif_of_text(text):
    """An EXIF whose orientation is a text of up to 3 characters."""
    entry = struct.pack("<HHI4s", ORIENTATION, 2, len(text) + 1, text.encode())
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)


def turned(orientation, image=SCENE):
    """The scene as a camera that was held so would have stored it."""
    back = UNTURNED[orientation]
    return image if back is None else image.transpose(TURNS[back])


def held(orientation, **options):
    if options.pop("tiff", False):
        return saved(turned(orientation), tiffinfo={ORIENTATION: orientation})
    return saved(turned(orientation), exif=exif(orientation), **options)


def cut(share, image=NOISE, **options):
    """Write a picture and cut its file off after a share of it."""

    def write(path):
        image.save(path, **options)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return write


def changed(change, image=SCENE, **options):
    """Write a picture and change its bytes."""

    def write(path):
        image.save(path, **options)
        path.write_bytes(change(path.read_bytes()))

    return write


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows=b"", *others, after=()):
    """A PNG file by hand, for what Pillow does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = [header, *others, chunk(b"IDAT", zlib.compress(rows)), *after, chunk(b"IEND", b"")]
    return content(b"\x89PNG\r\n\x1a\n", *body)


def deep_rows(array):
    """Big-endian rows of 16 bits, each after the filter 0."""
    return b"".join(b"\x00" + row.astype(">u2").tobytes() for row in array)


def sized_jpeg(width, height):
    def change(whole):
        start = whole.index(b"\xff\xc0") + 5
        return whole[:start] + struct.pack(">HH", height, width) + whole[start + 4 :]

    return changed(change)


def sized(offset, form, *size, **options):
    """Write a picture and put another size into its header."""
    return changed(
        lambda whole: whole[:offset] + struct.pack(form, *size) + whole[offset + struct.calcsize(form) :], **options
    )


def tiff(width, height, *tags):
    """The header of a TIFF file with one byte of data."""
    tags = sorted(
        [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1), *tags]
    )
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return content(b"II*\x00", struct.pack("<I", 10), b"\x00\x00", struct.pack("<H", len(tags)), body, bytes(4))


def hole(shape=(16, 24)):
    """An alpha channel that hides the right half."""
    alpha = np.full(shape, 255, np.uint8)
    alpha[:, shape[1] // 2 :] = 0
    return Image.fromarray(alpha)


def with_hole(mode="RGBA"):
    image = SCENE.convert(mode)
    image.putalpha(hole())
    return image


def frames(count=3):
    return {"save_all": True, "append_images": [Image.new("RGB", SCENE.size, BLUE)] * (count - 1), "duration": 100}


def grey(image):
    return image.convert("L").convert("RGB")


DEEP = np.arange(384, dtype=np.uint16).reshape(16, 24) * 170
SHALLOW = Image.fromarray((DEEP >> 8).astype(np.uint8)).convert("RGB")
HALF_WHITE = scene(RED, WHITE, BLUE, WHITE)
DEEP_RGB = np.stack([np.asarray(SCENE, np.uint16)[..., channel] * 257 for channel in range(3)], -1).reshape(16, 72)
PALETTE = SCENE.convert("P", palette=Image.Palette.ADAPTIVE)
CLEAR_GREEN = scene(RED, WHITE, BLUE, GREY)

READ = {
    **{f"a JPEG held as {n}": ("a.jpg", held(n, quality=95), SCENE, LOSSY) for n in UNTURNED},
    **{f"a PNG held as {n}": ("a.png", held(n), SCENE, EXACT) for n in UNTURNED},
    **{f"a WebP held as {n}": ("a.webp", held(n, lossless=True), SCENE, EXACT) for n in UNTURNED},
    **{f"a TIFF held as {n}": ("a.tif", held(n, tiff=True), SCENE, EXACT) for n in UNTURNED},
    "an AVIF held sideways": ("a.avif", held(6, quality=100, subsampling="4:4:4"), SCENE, LOSSY),
    "a PNG whose EXIF stands behind its pixels": (
        "a.png",
        png(
            16,
            24,
            8,
            2,
            b"".join(b"\0" + row.tobytes() for row in np.asarray(turned(6))),
            after=[chunk(b"eXIf", exif(6)[6:])],
        ),
        SCENE,
        EXACT,
    ),
    "an orientation that is a text": ("a.jpg", saved(exif=exif_of_text("6"), quality=95), SCENE, LOSSY),
    "an orientation of 0": ("a.jpg", saved(exif=exif(0), quality=95), SCENE, LOSSY),
    "an orientation of 9": ("a.jpg", saved(exif=exif(9), quality=95), SCENE, LOSSY),
    "a damaged EXIF": ("a.jpg", saved(exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", quality=95), SCENE, LOSSY),
    "an EXIF of noise": ("a.webp", saved(exif=bytes(range(200)), lossless=True), SCENE, EXACT),
    "grey": ("a.png", saved(SCENE.convert("L")), grey(SCENE), EXACT),
    "grey JPEG": ("a.jpg", saved(SCENE.convert("L"), quality=95), grey(SCENE), LOSSY),
    "1 bit": (
        "a.png",
        saved(scene(WHITE, (0, 0, 0), (0, 0, 0), WHITE).convert("1")),
        scene(WHITE, (0,) * 3, (0,) * 3, WHITE),
        EXACT,
    ),
    "1 bit TIFF of a fax": (
        "a.tif",
        saved(scene(WHITE, (0,) * 3, (0,) * 3, WHITE).convert("1"), compression="group4"),
        scene(WHITE, (0,) * 3, (0,) * 3, WHITE),
        EXACT,
    ),
    "a palette": ("a.png", saved(PALETTE), SCENE, EXACT),
    "CMYK JPEG": ("a.jpg", saved(SCENE.convert("CMYK"), quality=95), SCENE, LOSSY),
    "CMYK TIFF": ("a.tif", saved(SCENE.convert("CMYK")), SCENE, EXACT),
    "YCbCr TIFF": ("a.tif", saved(SCENE.convert("YCbCr")), SCENE, LOSSY),
    "16 bits of grey": ("a.png", saved(Image.fromarray(DEEP)), SHALLOW, EXACT),
    "16 bits of grey in a TIFF": ("a.tif", saved(Image.fromarray(DEEP)), SHALLOW, EXACT),
    "16 bits of grey, big-endian": ("a.tif", saved(Image.fromarray(DEEP.astype(">u2"))), SHALLOW, EXACT),
    "32 bits of grey that hold 16": ("a.tif", saved(Image.fromarray(DEEP.astype(np.int32))), SHALLOW, EXACT),
    "16 bits a colour": ("a.png", png(24, 16, 16, 2, deep_rows(DEEP_RGB)), SCENE, EXACT),
    "16 bits of PGM": ("a.pgm", saved(Image.fromarray(DEEP)), SHALLOW, EXACT),
    "RGBA": ("a.png", saved(with_hole()), HALF_WHITE, EXACT),
    "grey and alpha": ("a.png", saved(with_hole("L")), grey(HALF_WHITE), EXACT),
    "RGBA in a TIFF": ("a.tif", saved(with_hole()), HALF_WHITE, EXACT),
    "RGBA in a WebP": ("a.webp", saved(with_hole(), lossless=True), HALF_WHITE, EXACT),
    "RGBA in a TGA": ("a.tga", saved(with_hole()), HALF_WHITE, EXACT),
    "RGBA in a JPEG 2000": ("a.jp2", saved(with_hole()), HALF_WHITE, EXACT),
    "a transparent colour": ("a.png", saved(transparency=GREEN), CLEAR_GREEN, EXACT),
    "a transparent grey": (
        "a.png",
        saved(Image.new("L", (24, 16), 7), transparency=7),
        Image.new("RGB", (24, 16), WHITE),
        EXACT,
    ),
    "a transparent black of 1 bit": (
        "a.png",
        saved(Image.new("1", (24, 16), 0), transparency=0),
        Image.new("RGB", (24, 16), WHITE),
        EXACT,
    ),
    "a transparent grey of 16 bits": (
        "a.png",
        png(24, 16, 16, 0, deep_rows(np.where(DEEP < 30000, 7, 0x8000)), chunk(b"tRNS", struct.pack(">H", 7))),
        Image.fromarray(np.where(DEEP < 30000, 255, 128).astype(np.uint8)).convert("RGB"),
        EXACT,
    ),
    "a transparent entry of a palette": (
        "a.png",
        saved(PALETTE, transparency=int(np.asarray(PALETTE)[0, 23])),
        CLEAR_GREEN,
        EXACT,
    ),
    "half transparent": (
        "a.png",
        saved(Image.new("RGBA", (24, 16), (255, 0, 0, 128))),
        Image.new("RGB", (24, 16), (255, 127, 127)),
        1,
    ),
    "a transparent GIF": ("a.gif", saved(PALETTE, transparency=int(np.asarray(PALETTE)[0, 23])), CLEAR_GREEN, EXACT),
    "a moving GIF": ("a.gif", saved(**frames()), SCENE, EXACT),
    "a moving PNG": ("a.png", saved(**frames()), SCENE, EXACT),
    "a moving WebP": ("a.webp", saved(**frames(), lossless=True), SCENE, EXACT),
    "a TIFF of several pages": ("a.tif", saved(**frames()), SCENE, EXACT),
    "a JPEG with a second picture in it": ("a.jpg", saved(format="MPO", quality=95, **frames()), SCENE, LOSSY),
    "a progressive JPEG": ("a.jpg", saved(progressive=True, quality=95), SCENE, LOSSY),
    "a JPEG with something behind its end": (
        "a.jpg",
        changed(lambda whole: whole + bytes(500), quality=95),
        SCENE,
        LOSSY,
    ),
    "a PNG called JPEG": ("a.jpg", saved(format="PNG"), SCENE, EXACT),
    "a JPEG called PNG": ("a.png", saved(format="JPEG", quality=95), SCENE, LOSSY),
    "a GIF called TIFF": ("a.tif", saved(format="GIF"), SCENE, EXACT),
    "a WebP without an ending": ("a", saved(format="WEBP", lossless=True), SCENE, EXACT),
    "an ending in capitals": ("A.BMP", saved(), SCENE, EXACT),
    "a GIF whose screen is smaller than its picture": ("a.gif", sized(6, "<HH", 0, 0), SCENE, EXACT),
    "a BMP": ("a.bmp", saved(), SCENE, EXACT),
    "a BMP of a palette": ("a.bmp", saved(PALETTE), SCENE, EXACT),
    "a PPM": ("a.ppm", saved(), SCENE, EXACT),
    "a PBM as text": (
        "a.pbm",
        content(b"P1\n# drawn by hand\n2 1\n0 1\n"),
        Image.fromarray(np.array([[255, 0]], np.uint8)).convert("RGB"),
        EXACT,
    ),
    "a compressed TIFF": ("a.tiff", saved(compression="tiff_lzw"), SCENE, EXACT),
    "a JPEG 2000": ("a.jp2", saved(), SCENE, EXACT),
    "one pixel": ("a.png", saved(Image.new("RGB", (1, 1), RED)), Image.new("RGB", (1, 1), RED), EXACT),
    "one row": ("a.png", saved(Image.new("RGB", (5000, 1), RED)), Image.new("RGB", (5000, 1), RED), EXACT),
    "a name that is not UTF-8": (os.fsdecode(b"caf\xe9.png"), saved(format="PNG"), SCENE, EXACT),
    "a name with controls in it": ("\x1b[31m\n.png", saved(), SCENE, EXACT),
    "a link": ("a.png", lambda path: (SCENE.save(path.with_name("b.png")), path.symlink_to("b.png")), SCENE, EXACT),
}

LARGE, DAMAGED = "it is too large by its header: ", r"this is not an image that can be read \("
REFUSED = {
    "an empty file": ("a.jpg", content(), DAMAGED + "it is empty"),
    "a text": ("a.jpg", content(b"not a picture\n" * 50), DAMAGED + "it begins like no kind of image"),
    "a text called PNG": ("a.png", content(b"no"), DAMAGED + "it begins like no kind of image"),
    "an error page": ("a.jpg", content(b"<!DOCTYPE html><title>404</title>"), DAMAGED + "it begins like no"),
    "nothing but zeros": ("a.tga", content(bytes(5000)), DAMAGED + "it begins like no"),
    "a drawing": ("a.svg", content(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), DAMAGED + "it begins like no"),
    "a program for printers": (
        "a.png",
        content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        DAMAGED + "it begins",
    ),
    "a document": ("a.jpg", content(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), DAMAGED + "it begins like no"),
    "an archive": ("a.png", content(b"PK\x03\x04" + bytes(40)), DAMAGED + "it begins like no"),
    "an icon": ("a.png", saved(format="ICO"), DAMAGED + "it begins like no"),
    "HEIC": ("a.heic", content(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), DAMAGED + "it is HEIC, of which no reader"),
    "HEIC called JPEG": (
        "a.jpg",
        content(b"\0\0\0\x18ftypmif1\0\0\0\0heic"),
        DAMAGED + "it is HEIC.*convert it to JPEG",
    ),
    **{
        f"half of a {kind}": (name, cut(0.5, **options), DAMAGED)
        for kind, name, options in [
            ("JPEG", "a.jpg", {}),
            ("progressive JPEG", "a.jpg", {"progressive": True}),
            ("PNG", "a.png", {}),
            ("GIF", "a.gif", {}),
            ("BMP", "a.bmp", {}),
            ("TIFF", "a.tif", {}),
            ("compressed TIFF", "a.tif", {"compression": "tiff_lzw"}),
            ("WebP", "a.webp", {}),
            ("AVIF", "a.avif", {}),
            ("JPEG 2000", "a.jp2", {}),
            ("TGA", "a.tga", {}),
            ("PPM", "a.ppm", {}),
        ]
    },
    **{
        f"the first bytes of a {name[2:]}": (name, cut(0.004), DAMAGED)
        for name in ("a.jpg", "a.png", "a.gif", "a.bmp", "a.tif", "a.webp", "a.jp2")
    },
    "a JPEG that lacks its last rows": ("a.jpg", cut(0.97), DAMAGED),
    "a JPEG of 65500×65500 by its header": ("a.jpg", sized_jpeg(65500, 65500), LARGE),
    "a PNG of 100000×100000": ("a.png", png(100_000, 100_000, 8, 2), LARGE),
    "a PNG of one row that is too long": ("a.png", png(90_000_000, 1, 1, 0), LARGE + "90,000,000×1 pixels"),
    "a GIF of 65535×65535": ("a.gif", sized(6, "<HH", 65535, 65535), LARGE),
    "a BMP of 60000×60000": ("a.bmp", sized(18, "<ii", 60000, 60000), LARGE),
    "a TIFF of 60000×60000": ("a.tif", tiff(60000, 60000), LARGE),
    "a TIFF of one tile of 60000×60000": ("a.tif", tiff(10, 10, (322, 60000), (323, 60000)), LARGE + "60,000×60,000"),
    "a PPM of 99999×99999": ("a.ppm", content(b"P6\n99999 99999\n255\n"), LARGE),
    "a TGA of 65535×65535": ("a.tga", sized(12, "<HH", 65535, 65535), LARGE),
    "a PNG of no width": ("a.png", png(0, 5, 8, 2), "read|pixels"),
    "a JPEG of no height": ("a.jpg", sized_jpeg(24, 0), "read|pixels"),
    "a PPM of no size": ("a.ppm", content(b"P6\n0 0\n255\n"), "read|pixels"),
    "a PNG whose header has another checksum": (
        "a.png",
        changed(lambda whole: whole[:19] + b"\x19" + whole[20:]),
        DAMAGED,
    ),
    "a PNG whose pixels are damaged": (
        "a.png",
        changed(lambda whole: whole[:60] + bytes(20) + whole[80:], NOISE),
        DAMAGED,
    ),
    "a PNG without pixels": ("a.png", png(24, 16, 8, 2), DAMAGED),
    "a PNG of a colour type that there is not": ("a.png", png(24, 16, 8, 5, bytes(2000)), DAMAGED),
    "a PNG whose text unpacks to 100 MB": (
        "a.png",
        png(24, 16, 8, 0, bytes(400), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
        DAMAGED,
    ),
    "floating-point numbers": (
        "a.tif",
        saved(SCENE.convert("F")),
        "its pixels are floating-point numbers, of no known",
    ),
    "whole numbers above 16 bits": (
        "a.tif",
        saved(Image.fromarray(DEEP.astype(np.int32) * 2)),
        "from 0 to 130,220, of no",
    ),
    "whole numbers below zero": ("a.tif", saved(Image.fromarray(DEEP.astype(np.int32) - 1)), "from -1 to"),
    "a TIFF whose tags point at themselves": ("a.tif", content(b"II*\0\x04\0\0\0\x04\0\0\0"), DAMAGED),
    "a folder": ("a.png", lambda path: path.mkdir(), "this is no regular file"),
    "a FIFO": ("a.png", os.mkfifo, "this is no regular file"),
    "a device": ("a.png", lambda path: path.symlink_to("/dev/zero"), "this is no regular file"),
    "a link that leads nowhere": ("a.png", lambda path: path.symlink_to("none.png"), "this is no regular file"),
    "a link to itself": ("a.png", lambda path: path.symlink_to("a.png"), "this is no regular file"),
    "nothing": ("a.png", lambda path: None, "there is no such file"),
    "a name with a NUL in it": ("a\0.png", lambda path: None, "there is no such file"),
    "a name that is too long": ("a" * 300 + ".png", lambda path: None, "there is no such file"),
}


# Pillow says these too, once in a process.
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("kind", READ)
def test_a_file_that_can_be_right_is_read_rightly(tmp_path, kind):
    name, write, expected, tolerance = READ[kind]
    write(tmp_path / name)
    image = pixels(tmp_path / name, channels=3).permute(1, 2, 0).numpy()
    assert image.shape == np.asarray(expected).shape
    # Lossy formats blur the edges between the quarters.
    wrong = np.abs(image.astype(int) - np.asarray(expected, int)).max(axis=-1) > tolerance
    assert wrong.mean() <= (0.3 if tolerance == LOSSY else 0)
    assert pixels(tmp_path / name, channels=1).shape == (1, *image.shape[:2])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_cannot_be_right_is_refused_with_its_name_and_a_reason(tmp_path, kind):
    name, write, reason = REFUSED[kind]
    write(tmp_path / name)
    with pytest.raises(DataError, match=rf"(?s){name[:20]}.*{reason}.* (expected|Correct|Take)"):
        pixels(tmp_path / name, channels=3)


def test_there_are_many_kinds_of_odd_files():
    assert len(READ) + len(REFUSED) >= 80
