"""What a party may be called: it stands in topics, certificates and file names, so the alphabet is small."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

PATTERN = r"[a-z][a-z0-9-]{0,31}"
RESERVED = frozenset({"all", "compute"})  # the audiences of a letter that is for more than one party


@lru_cache(maxsize=4096)  # the same few names stand in every letter
def is_name(text: str) -> bool:
    """True for a party name: lower case, digits and hyphens, a letter first, not a reserved word."""
    return re.fullmatch(PATTERN, text) is not None and text not in RESERVED


def _checked(text: str) -> str:
    if not is_name(text):
        raise ValueError(
            "a name has 1 to 32 lower-case letters, digits and hyphens, starts with a letter "
            f"and is none of {', '.join(sorted(RESERVED))}"
        )
    return text


Name = Annotated[str, AfterValidator(_checked)]
