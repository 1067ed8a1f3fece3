import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ocpp.deflate import Deflate, TooLong, agree

BASE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        (["permessage-deflate"], BASE),
        (["permessage-deflate; client_max_window_bits"], BASE),
        (["permessage-deflate; client_max_window_bits=10"], BASE),
        (["PerMessage-Deflate; server_no_context_takeover"], BASE),
        (
            ['permessage-deflate; server_max_window_bits="10"'],
            f"{BASE}; server_max_window_bits=10",
        ),
        # The first offer that suits, of several headers and several in one.
        (["x-other, permessage-deflate; never=1", "permessage-deflate"], BASE),
        (
            [
                "permessage-deflate; server_max_window_bits=8, "
                "permessage-deflate; server_max_window_bits=9"
            ],
            f"{BASE}; server_max_window_bits=9",
        ),
    ],
)
def test_an_offer_that_suits_is_answered(offers: list[str], answer: str) -> None:
    agreed = agree(offers)
    assert agreed is not None
    assert agreed[0] == answer


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=-9",
        "permessage-deflate; client_max_window_bits=99",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
    ],
)
def test_an_offer_that_does_not_suit_is_passed_over(offer: str) -> None:
    assert agree([offer]) is None


@given(st.binary(max_size=2_000), st.integers(9, 15))
def test_what_is_packed_unpacks_to_the_same_by_any_zlib(
    message: bytes, window_bits: int
) -> None:
    deflate = Deflate(window_bits)
    packed = deflate.pack(message)
    assert deflate.unpack(packed, 2_000) == message
    other = zlib.decompressobj(-window_bits)
    assert other.decompress(packed + b"\x00\x00\xff\xff") == message


def test_a_message_is_as_long_as_is_allowed_and_no_byte_longer() -> None:
    deflate = Deflate()
    assert len(deflate.unpack(deflate.pack(bytes(1_000)), 1_000)) == 1_000
    with pytest.raises(TooLong):
        deflate.unpack(deflate.pack(bytes(1_001)), 1_000)
    with pytest.raises(zlib.error):
        deflate.unpack(b"\xff\xff", 1_000)
