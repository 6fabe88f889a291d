"""The closed catalogue of functions.  Adding one is adding a file and naming it here."""

from typing import Annotated

from pydantic import Field

from protocol.functionalities.average import Average
from protocol.functionalities.base import Answer, FixedPoint
from protocol.functionalities.sum import Sum

CATALOGUE: dict[str, type[FixedPoint]] = {"sum": Sum, "average": Average}
Function = Annotated[Sum | Average, Field(discriminator="name")]

__all__ = ["CATALOGUE", "Answer", "FixedPoint", "Function"]
