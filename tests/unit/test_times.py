"""Any time that a coordinator may announce can be shown."""

import pytest

from party_node.times import utc


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_999, "2023-11-14T22:13:20Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59Z"),
        (253_402_300_800_000, "253402300800000 ms"),
        (2**53 - 1, "9007199254740991 ms"),
    ],
)
def test_a_moment_is_shown_in_utc_or_as_a_number(milliseconds: int, shown: str) -> None:
    assert utc(milliseconds) == shown
