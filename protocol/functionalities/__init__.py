"""The closed catalogue of functions.  Adding one is adding a file and naming it here."""

from typing import Annotated

from pydantic import Field

from protocol.functionalities.average import Average
from protocol.functionalities.base import Answer, Boolean, FixedPoint, Functionality
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum

CATALOGUE: dict[str, type[Functionality]] = {"sum": Sum, "average": Average, "referendum": Referendum}
Function = Annotated[Sum | Average | Referendum, Field(discriminator="name")]

__all__ = ["CATALOGUE", "Answer", "Boolean", "FixedPoint", "Function", "Functionality"]
