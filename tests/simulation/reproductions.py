"""Schedules that once failed, each under the name of what it showed.  They stay."""

from __future__ import annotations

from protocol.messages import Step
from tests.simulation.schedule import BrokerReset, CoordinatorGone, Crash, Leave, Schedule, Vanish

REPRODUCTIONS: dict[str, Schedule] = {
    # An input party waits for the confirms of result parties that wait themselves, and names those.
    "a compute party gone before its reveal, seen from input parties": Schedule(
        seed=100038,
        inputs=("p0", "p3", "p7", "p5"),
        compute=("p4", "p2"),
        results=("p1", "p6", "p8"),
        min_inputs=4,
        function="sum",
        length=1,
        public=True,
        double=0.2,
        delay=0,
        operations=(Vanish("p4", Step.REVEAL, 0, None),),
    ),
    "a compute party that vanishes twice": Schedule(
        seed=100012,
        inputs=("p3", "p2", "p1", "p7", "p9"),
        compute=("p11", "p6"),
        results=("p0", "p4", "p10", "p8", "p5"),
        min_inputs=5,
        length=40,
        within=60_000,
        delay=0,
        operations=(
            Vanish("p11", Step.BEGIN, 2, 4408),
            Vanish("p11", Step.REVEAL, 0, None),
            Leave("p9", 5431, 9585),
            BrokerReset(19),
        ),
    ),
    "a crash while the retained letters are cleared": Schedule(
        seed=20031,
        inputs=("p2",),
        compute=("p3", "p0"),
        results=("p1",),
        min_inputs=1,
        function="sum",
        double=0.2,
        operations=(
            Vanish("p0", Step.RECEIVED, 0, 24642),
            Crash(31, committed=True),
            Crash(122, committed=True),
            Crash(61, committed=False),
        ),
    ),
    # A peer asked for a confirmation between the sweep's clearing and its forgetting; the answer was
    # retained again, and nobody was left who would clear it.
    "a peer that asks while the retained letters are cleared": Schedule(
        seed=9264,
        inputs=(
            "p0",
            "p1",
            "p2",
            "p3",
            "p4",
            "p5",
            "p6",
            "p7",
            "p8",
            "p9",
            "p10",
            "p11",
            "p12",
            "p13",
            "p14",
            "p15",
            "p16",
            "p17",
            "p18",
            "p19",
            "p20",
            "p21",
            "p22",
            "p23",
            "p24",
        ),
        compute=("p14", "p4", "p0", "p9"),
        results=("p5", "p6", "p1", "p18"),
        min_inputs=21,
        function="average",
        length=40,
        public=False,
        within=10000,
        part_bytes=1048576,
        lose=0.2,
        double=0.0,
        delay=800,
        operations=(
            Crash(action=2457, committed=True),
            CoordinatorGone(),
            Leave(party="p9", at=4, back=539),
            Vanish(party="p14", step=Step.BEGIN, left=0, back=982),
        ),
    ),
}
