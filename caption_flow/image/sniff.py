"""What some bytes are, told from the bytes alone.

The first look at every image: the name it came under is never asked. Only the formats in TAKEN
go on to a decoder; for all else the person who reads the dead letters learns what it looks like.
"""

import codecs
import re

from caption_flow.errors import BadImage

TAKEN = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")

_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
)
_LOOKED_AT = 1024  # bytes from the start that the slow look takes in

_OTHER_IMAGES = {
    b"%PDF": "PDF",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"\0\0\1\0": "ICO",
    b"\0\0\2\0": "CUR",
    b"8BPS": "Photoshop",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"qoif": "QOI",
    b"DDS ": "DDS",
    b"v/1\1": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"icns": "ICNS",
}
_OTHER_FILES = {
    b"\x1f\x8b": "a gzip file",
    b"PK\3\4": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"(\xb5/\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
    b"OggS": "an Ogg file",
    b"ID3": "an MP3 file",
    b"fLaC": "a FLAC file",
    b"RIFF": "a RIFF file, but no WebP",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"SQLite": "an SQLite database",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_PORTABLE_ANYMAP = re.compile(rb"P[1-7]\s")


def sniff(data: bytes) -> str:
    """Name the format, one of TAKEN; any other content is a BadImage."""
    for magic, form in _MAGIC:
        if data.startswith(magic):
            return form
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _boxed(data)
    if data[:2] == b"BM" and not _is_text(data[:_LOOKED_AT]):
        return "bmp"
    raise _refusal(data)


def _boxed(data: bytes) -> str:
    """AVIF lives in the same boxes as HEIC and MP4; the brands tell them apart."""
    length = min(int.from_bytes(data[:4], "big"), _LOOKED_AT)
    brands = [data[8:12]] + [data[at : at + 4] for at in range(16, length - 3, 4)]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "avif"
    if any(brand in _HEIF_BRANDS for brand in brands):
        raise _unsupported("HEIC")
    raise BadImage("not_an_image", f"looks like an MP4 or QuickTime video (brand {brands[0]!r})")


def _refusal(data: bytes) -> BadImage:
    if not data:
        return BadImage("empty", "the file has no bytes")
    head = data[:_LOOKED_AT]
    for magic, name in _OTHER_IMAGES.items():
        if head.startswith(magic):
            return _unsupported(name)
    for magic, name in _OTHER_FILES.items():
        if head.startswith(magic):
            return BadImage("not_an_image", f"looks like {name}")
    if _PORTABLE_ANYMAP.match(head):
        return _unsupported("PNM")
    if _is_text(head):
        return _text_refusal(head)
    return BadImage("not_an_image", f"unknown content that begins with {head[:8].hex(' ')}")


def _text_refusal(head: bytes) -> BadImage:
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    if "<svg" in text:
        return _unsupported("SVG")
    if text.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in text:
        return BadImage("not_an_image", "looks like a web page (HTML), perhaps an error page")
    if text.startswith(("{", "[")):
        return BadImage("not_an_image", "looks like JSON")
    if text.startswith("<"):
        return BadImage("not_an_image", "looks like XML")
    return BadImage("not_an_image", f"looks like text: {text[:40]!r}")


def _unsupported(name: str) -> BadImage:
    return BadImage("unsupported_format", f"{name}; taken are {', '.join(TAKEN)}")


def _is_text(head: bytes) -> bool:
    """Printable UTF-8; a character cut at the end of the look is forgiven."""
    cut = len(head) == _LOOKED_AT
    try:
        text = _Utf8Decoder().decode(head, final=not cut)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)


_Utf8Decoder = codecs.getincrementaldecoder("utf-8")
