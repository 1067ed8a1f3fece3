"""Compressed messages, permessage-deflate (RFC 7692), each message for itself.

No window is kept from one message to the next, on either side: thousands of idle
stations then cost no memory, and what one message holds says nothing of another.
"""

import zlib
from collections.abc import Iterable
from typing import Final

# Shorter messages do not get smaller by what it costs.
WORTH_BYTES: Final = 512
_NAME: Final = "permessage-deflate"
_TAIL: Final = b"\x00\x00\xff\xff"
_LEVEL: Final = 6
# A raw stream of zlib has no smaller window than 2**9.
_WINDOW_BITS: Final = range(9, 16)


class TooLong(Exception):
    """A message is longer than what is taken, when unpacked."""


class Deflate:
    """Packs and unpacks messages."""

    def __init__(self, window_bits: int = 15) -> None:
        """Pack with a window of two to the power of ``window_bits`` bytes."""
        self._window_bits = window_bits

    def pack(self, message: bytes) -> bytes:
        """Return the payload of a frame."""
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._window_bits)
        packed = packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)
        return packed.removesuffix(_TAIL)

    def unpack(self, packed: bytes, limit_bytes: int) -> bytes:
        """Return the message; raise `TooLong`, or zlib.error for what is none."""
        unpacker = zlib.decompressobj(-15)
        message = unpacker.decompress(packed + _TAIL, limit_bytes + 1)
        if len(message) > limit_bytes or unpacker.unconsumed_tail:
            raise TooLong(f"more than {limit_bytes} bytes when unpacked")
        return message


def agree(headers: Iterable[str]) -> tuple[str, Deflate] | None:
    """Return our answer to what a client offers, or None where nothing suits."""
    for header in headers:
        for offer in header.split(","):
            name, *parameters = (part.strip() for part in offer.split(";"))
            if name.lower() == _NAME and (agreed := _agreed(parameters)) is not None:
                return agreed
    return None


def _agreed(parameters: list[str]) -> tuple[str, Deflate] | None:
    answer = f"{_NAME}; server_no_context_takeover; client_no_context_takeover"
    window_bits, seen = 15, set[str]()
    for parameter in parameters:
        key, _, text = parameter.partition("=")
        key, text = key.strip().lower(), text.strip().strip('"')
        if key in seen:
            return None
        seen.add(key)
        match key:
            case "server_no_context_takeover" | "client_no_context_takeover":
                suits = not text
            case "client_max_window_bits":
                suits = not text or _bits(text) is not None
            case "server_max_window_bits":
                found = _bits(text)
                suits = found is not None
                window_bits = found or window_bits
            case _:
                suits = False
        if not suits:
            return None
    if "server_max_window_bits" in seen:
        answer += f"; server_max_window_bits={window_bits}"
    return answer, Deflate(window_bits)


def _bits(text: str) -> int | None:
    bits = int(text) if text.isascii() and text.isdigit() and len(text) < 3 else 0
    return bits if bits in _WINDOW_BITS else None
