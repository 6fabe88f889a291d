"""One target under atheris, Google's libFuzzer for Python, in a process of its own: libFuzzer never returns.

python -m tests.fuzz.inside TARGET CORPUS LIBFUZZER_OPTION…
"""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any

SIGNATURE_AND_LENGTH = 68


def main(target: str, folder: str, *options: str) -> None:
    """Fuzz until libFuzzer's own limits; a finding is an uncaught exception."""
    # Only what is imported from here on is watched; not where mypy looks, for it exists on few platforms.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["protocol", "party_node"]):
        from tests.fuzz import corpus, targets
    from tests.simulation.conftest import silence

    silence()
    corpus.write(target, Path(folder))

    def reframed(raw: bytes, most: int, seed: int) -> bytes:
        """Changes header or body, and corrects the header's length: else hardly any payload is one."""
        draw = random.Random(seed)
        end = SIGNATURE_AND_LENGTH + int.from_bytes(raw[64:SIGNATURE_AND_LENGTH], "big")
        if end > len(raw) or draw.random() < 0.2:
            return bytes(atheris.Mutate(raw, most))
        header, body = raw[SIGNATURE_AND_LENGTH:end], raw[end:]
        if draw.random() < 0.7:
            header = atheris.Mutate(header, max(1, most - SIGNATURE_AND_LENGTH - len(body)))
        else:
            body = atheris.Mutate(body, max(1, most - end))
        return (raw[:64] + len(header).to_bytes(4, "big") + header + body)[:most]

    mutator = {"custom_mutator": reframed} if target == "codec" else {}
    atheris.Setup([sys.argv[0], folder, *options], targets.TARGETS[target], **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
