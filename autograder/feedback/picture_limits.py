"""Pictures that a student may have made or attached: which of them, and how many, a page shows."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

PICTURE_CHARACTERS = 6 * 2**20  # of base64
PICTURE_PIXELS = 40_000_000  # a small file can unpack to a picture that stops the reader's browser
ATTACHMENTS = 20  # of one cell
CELL_CHARACTERS = 16 * 2**20  # of base64, in one cell, as often as its text shows each picture
PAGE_CHARACTERS = 32 * 2**20
PAGE_PIXELS = 400_000_000

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers of a frame, which has the size
SEGMENTS = 1000  # of a JPEG before its frame; cameras write some ten, long colour profiles up to 255


def clean_picture(encoded: Any, magic: bytes = PNG) -> str | None:
    """The base64 text of a picture with this magic number and of bearable size, or None."""
    if isinstance(encoded, list):  # a notebook may hold any text as a list of its lines
        encoded = "".join(piece for piece in encoded if isinstance(piece, str))
    if not isinstance(encoded, str) or len(encoded) > PICTURE_CHARACTERS:
        return None
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    if not data.startswith(magic) or not 0 < _pixels(data) <= PICTURE_PIXELS:
        return None
    return base64.b64encode(data).decode()


@dataclass
class Allowance:
    """What the pictures of one page may still come to."""

    characters: int = PAGE_CHARACTERS
    pixels: int = PAGE_PIXELS

    def takes(self, picture: str) -> bool:
        """Whether there is room for this clean picture, which then takes it."""
        characters, pixels = len(picture), _pixels(base64.b64decode(picture))
        if characters > self.characters or pixels > self.pixels:
            return False
        self.characters -= characters
        self.pixels -= pixels
        return True


def _pixels(data: bytes) -> int:
    """By what the file says of itself, which is what a browser makes room for. Damaged files have none."""
    if data.startswith(JPEG):
        return _jpeg_pixels(data)
    return _area(data[16:20], data[20:24]) if data[12:16] == b"IHDR" else 0


def _jpeg_pixels(data: bytes) -> int:
    at = 2
    for _ in range(SEGMENTS):
        if data[at : at + 1] != b"\xff":
            break
        marker = data[at + 1] if at + 1 < len(data) else 0
        if marker in FRAMES:
            return _area(data[at + 5 : at + 7], data[at + 7 : at + 9])
        if marker < 0xC4 or 0xD0 <= marker <= 0xDA or marker == 0xFF:  # no segment, or the picture without its size
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0


def _area(*sides: bytes) -> int:
    width, height = (int.from_bytes(side, "big") for side in sides)
    return width * height
