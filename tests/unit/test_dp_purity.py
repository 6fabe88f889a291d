"""From the parameters to the noise there are integers and fractions only, and no entropy but the seed's."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from protocol.dp import polya
from tests.support.sessions import seed_of

FOLDER = Path(polya.__file__).parent
FILES = ["coins.py", "noise.py", "polya.py", "randomised_response.py", "thresholds.py"]
MODULES = set("cmath decimal math numpy.random os random scipy secrets statistics time uuid".split())
NAMES = set(
    "bincount cbrt complex complex64 complex128 divide double exp exp2 expm1 fft float float16 float32 "
    "float64 floating fromhex half hypot inexact interp linspace log log1p log2 log10 longdouble mean nan "
    "inf pi random single sqrt std true_divide urandom var".split()
)
SHORT = set("f2 f4 f8 <f8 f d c16".split())  # what numpy calls them, too


def impure(source: str) -> Iterator[str]:
    """What does not belong between the parameters and the noise."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() | complex()):
                yield f"line {node.lineno}: a float"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"line {node.lineno}: a division that need not be exact"
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
                yield f"line {node.lineno}: a negative power"
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in NAMES:
                yield f"line {node.lineno}: {name}"
            case ast.Constant(value=str(name)) if name in NAMES | SHORT:
                yield f"line {node.lineno}: {name!r}"
            case ast.Import(names=names):
                yield from (f"line {node.lineno}: {each.name}" for each in names if _is_impure(each.name))
            case ast.ImportFrom(module=str(module), names=names):
                full = [module, *(f"{module}.{each.name}" for each in names)]
                yield from (f"line {node.lineno}: {each}" for each in full if _is_impure(each))
                yield from (f"line {node.lineno}: {each.name}" for each in names if each.name in NAMES)
            case _:
                pass


def _is_impure(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in MODULES)


@pytest.mark.parametrize("name", FILES)
def test_there_are_neither_floats_nor_other_entropy_in_the_way_of_the_noise(name: str) -> None:
    assert list(impure((FOLDER / name).read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "x = 0.5",
        "x = 1j",
        "x = rate / 2",
        "x /= 2",
        "x = 2**-64",
        "x = float(rate)",
        "x: np.float64",
        "x = np.zeros(3, dtype='f8')",
        "x = np.zeros(3, dtype='float64')",
        "x = words.astype(np.double)",
        "x = np.exp(-3)",
        "x = np.true_divide(3, 2)",
        "x = np.mean(words)",
        "x = words.mean()",
        "x = np.bincount(owner, weights=k)",
        "x = np.random.default_rng(1)",
        "x = np.inf",
        "from numpy import random",
        "from numpy.random import Generator",
        "from numpy import log1p",
        "import random",
        "import random as dice",
        "import secrets",
        "import os",
        "import time",
        "import math",
        "from math import exp",
        "import statistics",
        "from decimal import Decimal",
        "import scipy.stats",
        "import numpy.random as r",
    ],
)
def test_a_line_that_does_not_belong_there_is_noticed(line: str) -> None:
    source = (FOLDER / "polya.py").read_text()
    assert list(impure(f"{source}\n{line}\n"))


def test_what_is_exact_may_stay() -> None:
    exact = "x = Fraction(1, 3) * 2**64 // 7 % 5 >> 2\nwords = np.cumsum(np.zeros(3, dtype=np.uint64))\n"
    assert list(impure(exact)) == []


@pytest.mark.parametrize("parts", [1, 2, 1000])
@pytest.mark.parametrize("rate", [Fraction(20), Fraction(3, 7), Fraction(1, 2 * 10**12)], ids=str)
def test_no_variable_ever_holds_a_float(parts: int, rate: Fraction) -> None:
    seen: set[str] = set()

    def look(frame: FrameType, event: str, value: Any) -> Any:
        if Path(frame.f_code.co_filename).parent != FOLDER:
            return None
        for name, held in {**frame.f_locals, "returned": value if event == "return" else None}.items():
            kind = held.dtype.kind if isinstance(held, np.ndarray | np.generic) else type(held).__name__
            assert kind not in {"f", "c", "O", "float", "complex"}, f"{name} in line {frame.f_lineno}"
            seen.add(f"{frame.f_code.co_name}: {name}")
        return look

    variables = [polya._Geometric.of, polya._Thinned.of]
    for each in variables:
        each.cache_clear()  # the thresholds are watched too
    before = sys.gettrace()
    sys.settrace(look)
    try:
        polya.noise_share(parts, rate, (50,), seed_of("watched"))
    finally:
        sys.settrace(before)
    assert {"noise_share: share", "words: words", "draw: drawn", "exp_minus: low"} <= seen


def test_only_coins_are_made_from_a_seed() -> None:
    expanding = {"blocks", "expand", "derive", "derive_bytes", "expose"}
    for name in FILES:
        tree = ast.parse((FOLDER / name).read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & expanding
        assert used == {"coins.py": {"blocks"}, "randomised_response.py": {"derive_bytes"}}.get(name, set())
