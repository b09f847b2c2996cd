"""Reading and writing pictures: every limit, every kind of pixel, and files that are whole or not there."""

from __future__ import annotations

import errno
import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.methods.errors import ImageError, InputError
from raylign.platform.images import (
    UPLOAD_FORMATS,
    check_fits,
    check_image,
    encode_image,
    output_format,
    read_image,
    write_files,
)
from tests.datasets import texture

PICTURE = texture(np.random.default_rng(0), 96)[:64]  # 96 x 64


def encoded(picture: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def header_only_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("format_name", "tolerance"), [("PNG", 0), ("WEBP", 0), ("TIFF", 0), ("JPEG", 30)])
def test_reads_every_format(format_name: str, tolerance: int) -> None:
    options = {"lossless": True} if format_name == "WEBP" else {}
    image = read_image(encoded(Image.fromarray(PICTURE), format_name, **options), "it")
    assert image.shape == (3, 64, 96)
    assert image.dtype == torch.float32
    levels = (image.permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(levels - PICTURE).max() <= tolerance


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, format_name: str) -> None:
    # What the camera stores for an upright picture, by the table of the EXIF standard.
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.transpose(1, 0, 2),
        6: np.rot90(PICTURE, 1),
        7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PICTURE, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_name == "WEBP" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), format_name, exif=exif, **options)
    assert check_image(data, "it") == (96, 64)
    assert torch.equal(read_image(data, "it"), read_image(encoded(Image.fromarray(PICTURE), "PNG"), "it"))


def test_sixteen_bit_grey_keeps_its_precision() -> None:
    grey = (np.arange(64 * 64, dtype=np.uint32) * 16 % 65_536).astype(np.uint16).reshape(64, 64)
    for format_name in ("PNG", "TIFF"):
        image = read_image(encoded(Image.fromarray(grey), format_name), "it")
        assert torch.allclose(image, torch.from_numpy(grey.astype(np.float32) / 65_535).expand(3, -1, -1), atol=1e-7)


def test_grey_palette_bilevel_and_cmyk_become_rgb() -> None:
    rgb = Image.fromarray(PICTURE)
    grey = read_image(encoded(rgb.convert("L"), "PNG"), "it")
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    palette = rgb.quantize(16)
    assert torch.equal(
        read_image(encoded(palette, "PNG"), "it"), read_image(encoded(palette.convert("RGB"), "PNG"), "it")
    )
    assert set(read_image(encoded(rgb.convert("1"), "PNG"), "it").unique().tolist()) <= {0.0, 1.0}
    assert read_image(encoded(rgb.convert("CMYK"), "JPEG"), "it").shape == (3, 64, 96)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_black(mode: str) -> None:
    picture = Image.fromarray(PICTURE).convert(mode)
    alpha = Image.fromarray(np.where(np.arange(96) < 48, 255, 0)[None].repeat(64, 0).astype(np.uint8))
    picture.putalpha(alpha)
    image = read_image(encoded(picture, "PNG"), "it")
    assert image[:, :, 48:].abs().max() == 0
    assert image[:, :, :48].max() > 0


def test_float_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.zeros((64, 64), np.float32)), "TIFF")
    with pytest.raises(ImageError, match="floating-point"):
        read_image(data, "it")


@pytest.mark.parametrize(("width", "height", "fits"), [(32, 32, True), (31, 200, False), (200, 31, False)])
def test_smallest_picture(width: int, height: int, fits: bool) -> None:
    data = encoded(Image.new("RGB", (width, height)), "PNG")
    if fits:
        assert read_image(data, "it").shape == (3, height, width)
    else:
        with pytest.raises(ImageError, match=r"it: .*at least 32"):
            check_image(data, "it")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [10_001, 30_000])  # Pillow itself warns of the first and refuses the second
def test_too_many_pixels_are_refused_by_the_header(side: int) -> None:
    data = header_only_png(side, side)
    start = time.perf_counter()
    with pytest.raises(ImageError, match=r"it: .*more than 100 megapixels; scale it down") as caught:
        read_image(data, "it")
    assert caught.value.http_status == 413
    assert time.perf_counter() - start < 1


@pytest.mark.filterwarnings("error")
def test_a_hundred_megapixels_are_let_through() -> None:
    assert check_image(header_only_png(10_000, 10_000), "it") == (10_000, 10_000)
    bilevel = encoded(Image.new("1", (10_001, 10_001)), "PNG")
    assert len(bilevel) < 50_000
    with pytest.raises(ImageError, match="10001 x 10001 pixels"):
        check_image(bilevel, "it")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files(format_name: str, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(Image.fromarray(PICTURE), format_name)
    with pytest.raises(ImageError, match=r"^it: [^\n]+$"):
        read_image(data[: int(len(data) * share)], "it")
    assert capfd.readouterr().err == ""


def test_the_header_check_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    for format_name in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert check_image(encoded(Image.fromarray(PICTURE), format_name), "it") == (96, 64)


def test_damaged_pixels() -> None:
    data = bytearray(encoded(Image.fromarray(PICTURE), "PNG"))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(bytes(data), "it")


def test_what_is_no_picture_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("this is no picture\n" * 100)
    (tmp_path / "secret.png").write_bytes(encoded(Image.fromarray(PICTURE), "PNG"))
    for name, message in {
        "missing.png": "no such file",
        ".": "this is a folder",
        "empty.png": r"empty \(0 bytes\)",
        "text.png": "not a PNG, JPEG, WEBP or TIFF picture",
        "missing/x.png": "no such file",
        "text.png/x.png": "no such file|cannot be read",
    }.items():
        path = tmp_path / name
        with pytest.raises(ImageError, match=message) as caught:
            check_image(path, f"REF {path}")
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_uploads_are_png_jpeg_or_webp() -> None:
    for format_name in ("TIFF", "GIF", "BMP"):
        with pytest.raises(ImageError, match=r"not a PNG, JPEG or WEBP picture") as caught:
            check_image(encoded(Image.fromarray(PICTURE), format_name), "field 'source'", UPLOAD_FORMATS)
        assert caught.value.http_status == 415


def test_png_bytes_are_repeatable_and_exact() -> None:
    image = read_image(encoded(Image.fromarray(PICTURE), "PNG"), "it")
    first, second = encode_image(image), encode_image(image.clone())
    assert first == second
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(first))), PICTURE)


def test_values_are_rounded_and_kept_in_range() -> None:
    image = torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2.0]).repeat(8).expand(3, 32, 32)
    levels = np.asarray(Image.open(io.BytesIO(encode_image(image))))
    assert levels[0, :4, 0].tolist() == [0, 0, 1, 255]


def test_the_mask_becomes_the_alpha_channel() -> None:
    image = read_image(encoded(Image.fromarray(PICTURE), "PNG"), "it")
    mask = torch.zeros(64, 96, dtype=torch.bool)
    mask[10:20, 30:40] = True
    for format_name in ("PNG", "WEBP"):
        levels = np.asarray(Image.open(io.BytesIO(encode_image(image, mask, format_name))))
        assert np.array_equal(levels[..., 3], np.where(mask.numpy(), 255, 0))
        assert np.array_equal(levels[..., :3], PICTURE)


def test_the_name_picks_the_format() -> None:
    assert [output_format(Path(f"x{suffix}"), "--out") for suffix in (".png", ".JPG", ".jpeg", ".webp")] == [
        "PNG",
        "JPEG",
        "JPEG",
        "WEBP",
    ]
    for name in ("x", "x.tiff", "x.gif", "png"):
        with pytest.raises(InputError, match=r"--out .*must end in \.png"):
            output_format(Path(name), "--out")
    with pytest.raises(InputError, match="JPEG has no alpha channel"):
        output_format(Path("x.jpg"), "--out", alpha=True)
    check_fits("PNG", (90_000, 100), "--out x.png")
    with pytest.raises(InputError, match="WEBP ends at 16383"):
        check_fits("WEBP", (20_000, 100), "--out x.webp")


def test_files_are_written_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.npz"
    one.write_bytes(b"old")
    whole = Path.write_bytes

    def fills_up(path: Path, content: bytes) -> int:
        if "two" in path.name:
            whole(path, content[:3])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return whole(path, content)

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    with pytest.raises(InputError, match=r"no space left while writing to .*two\.npz"):
        write_files({one: b"new", two: b"newest"})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]
    assert one.read_bytes() == b"old"
    write_files({one: b"new", two: b"newest"})
    assert (one.read_bytes(), two.read_bytes()) == (b"new", b"newest")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "real" / "out.png")
    write_files({link: b"content"})
    assert link.is_symlink()
    assert (tmp_path / "real" / "out.png").read_bytes() == b"content"


def test_an_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write to .*gone"):
        write_files({tmp_path / "gone" / "x.png": b"x"})
