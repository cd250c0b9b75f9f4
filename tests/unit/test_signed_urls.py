"""URLs that carry their own permission."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolltape.codes import Code, Problem
from rolltape.service import signed_urls
from rolltape.service.signed_urls import Direction, check, make

KEY = bytes(range(32))
MEDIA = "med_0123456789abcdefghijXY"
NOW = 1_767_225_600_123


def query_of(direction: Direction = "up", now: int = NOW) -> bytes:
    url, _ = make(KEY, direction, MEDIA, 7, base_url="http://127.0.0.1:8787", now=now)
    return urlsplit(url).query.encode()


def refusal(query: bytes, *, key: bytes = KEY, direction: Direction = "up", media: str = MEDIA, now: int = NOW) -> Code:
    with pytest.raises(Problem) as refused:
        check(key, direction, media, query, now)
    return refused.value.code


def test_a_fresh_url_names_its_tenant_and_its_end() -> None:
    url, expires_at = make(KEY, "up", MEDIA, 7, base_url="https://x.example", now=NOW)
    assert url.startswith(f"https://x.example/v1/uploads/{MEDIA}?tenant=7&expires=")
    assert check(KEY, "up", MEDIA, urlsplit(url).query.encode(), NOW) == (7, expires_at)
    assert 3_599_000 < expires_at - NOW <= 3_600_000


def test_a_url_works_until_the_very_end_of_its_hour() -> None:
    _, expires_at = make(KEY, "up", MEDIA, 7, base_url="", now=NOW)
    assert check(KEY, "up", MEDIA, query_of(), expires_at - 1) == (7, expires_at)
    assert refusal(query_of(), now=expires_at) == Code.FORBIDDEN


def test_a_url_is_good_for_its_own_direction_media_and_deployment_alone() -> None:
    assert refusal(query_of("up"), direction="down") == Code.FORBIDDEN
    assert refusal(query_of("down"), direction="up") == Code.FORBIDDEN
    assert refusal(query_of(), media=MEDIA[:-1] + "Z") == Code.FORBIDDEN
    assert refusal(query_of(), key=bytes(32)) == Code.FORBIDDEN


def test_nothing_in_a_url_can_be_changed() -> None:
    query = query_of().decode()
    for old, new in (
        ("tenant=7", "tenant=8"),
        ("tenant=7", "tenant=07"),
        ("tenant=7", ""),
        ("expires=17", "expires=27"),
    ):
        assert refusal(query.replace(old, new).encode()) == Code.FORBIDDEN
    for i in range(query.index("signature=") + len("signature="), len(query) - 1):
        flipped = query[:i] + ("A" if query[i] != "A" else "B") + query[i + 1 :]
        assert refusal(flipped.encode()) == Code.FORBIDDEN
    assert refusal(query[:-1].encode()) == Code.FORBIDDEN
    assert refusal((query + "=").encode()) == Code.FORBIDDEN
    assert refusal((query + "&tenant=8").encode()) == Code.FORBIDDEN


@pytest.mark.parametrize("media", ["", "med_", "../../etc/passwd", "med_a/../b", "rec_abc", "med_a\0"])
def test_what_is_no_media_id_is_not_found(media: str) -> None:
    assert refusal(query_of(), media=media) == Code.NOT_FOUND


@given(st.binary(max_size=200))
def test_no_query_is_more_than_refused(query: bytes) -> None:
    assert refusal(query) == Code.FORBIDDEN


def test_the_refusal_says_how_to_get_a_fresh_url() -> None:
    with pytest.raises(Problem) as refused:
        check(KEY, "down", MEDIA, query_of("down"), NOW + signed_urls.VALID_MS)
    assert "download-url" in refused.value.message
