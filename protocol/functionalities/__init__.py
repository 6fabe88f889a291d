"""The closed catalogue of functions.  Adding one is adding a file and naming it here."""

from typing import Annotated

from pydantic import Field

from protocol.functionalities.average import Average
from protocol.functionalities.base import Answer, Functionality
from protocol.functionalities.boolean import Boolean
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.linear import FixedPoint, Linear
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum

CATALOGUE: dict[str, type[Functionality]] = {
    "sum": Sum,
    "average": Average,
    "histogram": Histogram,
    "referendum": Referendum,
    "poll": Poll,
}
Function = Annotated[Sum | Average | Histogram | Referendum | Poll, Field(discriminator="name")]

__all__ = ["CATALOGUE", "Answer", "Boolean", "FixedPoint", "Function", "Functionality", "Linear"]
