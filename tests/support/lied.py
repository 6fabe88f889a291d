"""Four real nodes behind a broker that lies, and a judge of how their sessions end.

The long form of `tests/e2e/test_lying_broker.py`: `python -m tests.support.lied --sessions 100 --seed 1`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coordinator.cluster import BROKER
from party_node.daemon import now_ms
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, parse
from protocol.messages import Statement, Step
from protocol.session import LINGER
from protocol.spec import SessionSpec, session_id
from protocol.states import Outcome, State
from tests.simulation.judge import HONEST
from tests.support.broker_faults import Lies, Operation, generate
from tests.support.programs import Cluster, until
from tests.support.proxy import Proxy, lied_to

PARTIES = ("alice", "bob", "carlos", "david")
COMPUTE, RESULTS = PARTIES[:3], ("alice", "david")
RAISES = {"alice": 3800, "bob": 2514, "carlos": 2983, "david": 3390}
BALLOTS = {"alice": "yes", "bob": "no", "carlos": "yes", "david": "yes"}
LEAST = 3  # inputs


@dataclass(frozen=True)
class Lied:
    """A cluster behind the proxy, and a finished session whose letters may come again."""

    nodes: Cluster
    proxy: Proxy
    old: str

    def sum(self, number: int, within: float, min_inputs: int = LEAST) -> SessionSpec:
        """A sum of raises; each number is an input that goes into this exact answer alone."""
        roles = {"compute": COMPUTE, "result_to": RESULTS}
        return self.nodes.spec(Sum(), f"raise{number}", within, min_inputs=min_inputs, **roles)

    def referendum(self, number: int, within: float) -> SessionSpec:
        """A referendum, likewise."""
        roles = {"compute": COMPUTE, "result_to": RESULTS}
        function = Referendum(threshold="3/4")
        return self.nodes.spec(function, f"ballot{number}", within, min_inputs=LEAST, **roles)

    def ask(self, spec: SessionSpec, *operations: Operation, seed: int = 0) -> str:
        """Announce a session about which the broker lies; its id."""
        self.proxy.lie(session_id(spec.encode()), Lies(seed, operations), old=self.old)
        return self.nodes.announce(spec)

    def ask_all(self, lies: Mapping[str, Lies], within: float) -> dict[str, SessionSpec]:
        """A session for each of these, side by side: two sums, a referendum, and so on."""
        specs = {}
        for number, (what, each) in enumerate(lies.items()):
            spec = self.referendum(number, within) if number % 3 == 2 else self.sum(number, within)
            self.ask(spec, *each.operations, seed=each.seed)
            specs[what] = spec
        return specs

    def outcomes(self, spec: SessionSpec) -> dict[str, Outcome]:
        """How the session ended at each party; one that never heard of it is not there."""
        session = session_id(spec.encode())

        def over() -> dict[str, Outcome]:
            rows = [(name, row) for name in PARTIES for row in self.nodes.sessions(name) if row.id == session]
            found = {name: row.outcome for name, row in rows if row.outcome is not None}
            late = now_ms() > spec.close_by + 2 * LINGER
            return found if len(found) == (len(rows) if late else len(PARTIES)) else {}

        return until(over, "the session ends wherever it is known")

    def sent(self, session: str, step: Step) -> set[str]:
        """Who has sent a letter of a step, which the broker may have kept to itself."""
        return {each.sender for each in self.proxy.seen(session, step)}

    def letter(self, session: str, step: Step, sender: str) -> bytes:
        """The body of a plain letter that somebody sends."""
        self.proxy.until_seen(session, step, sender)
        return parse(self.proxy.seen(session, step, sender)[0].payload).body

    def signed(self, session: str, step: Step, sender: str, statement: Statement) -> bytes:
        """A second letter of one who signs two."""
        (sent,) = self.nodes.post(sender).plain(session, step, ALL, statement.encode())
        return sent.payload


@contextmanager
def lied_cluster(directory: Path, questions: int) -> Iterator[Lied]:
    """The four nodes, running, with so many inputs of each kind."""
    names = [f"{kind}{number}" for kind in ("raise", "ballot") for number in range(questions)]
    rows = [[name, *[str(RAISES[name])] * questions, *[BALLOTS[name]] * questions] for name in PARTIES]
    table = "".join(f"{','.join(row)}\n" for row in (["party", *names], *rows))
    with lied_to(directory, PARTIES, table) as (nodes, proxy):
        for name in PARTIES:
            config = nodes.config(name)
            config.write_text(f"{config.read_text()}\n[policy]\nmin_inputs = 1\n")
        nodes.start(BROKER, *PARTIES)
        roles = {"compute": COMPUTE, "result_to": RESULTS}
        old = nodes.announce(nodes.spec(Referendum(threshold="1/2"), "ballot0", within=10, **roles))
        assert {each.state for each in nodes.outcomes(old, *PARTIES).values()} == {State.COMPLETED}
        yield Lied(nodes, proxy, old)


# -- judging ---------------------------------------------------------------------------------------------


def judged(lied: Lied, spec: SessionSpec, lies: Lies) -> set[State]:
    """How a session of honest parties ended, if that is a way to end; the lies are told if it is not."""
    try:
        outcomes = lied.outcomes(spec)
        counted = {each.inputs for each in outcomes.values() if each.state is State.COMPLETED}
        assert len(counted) < 2, f"they counted different inputs: {counted}"
        for name, outcome in outcomes.items():
            check(spec, name, outcome)
        for topic, payloads in lied.proxy.payloads(session_id(spec.encode())).items():
            assert len(payloads) == 1, f"two different payloads under {topic}"
    except BaseException as error:
        error.add_note(f"{spec.function.name}: {lies!r}")
        raise
    return {each.state for each in outcomes.values()}


def check(spec: SessionSpec, name: str, outcome: Outcome) -> None:
    """The right answer, or a reason that accuses nobody: all parties are honest, whatever the broker says."""
    ending = outcome.ending
    if ending is None:
        answer = None if outcome.answer is None else outcome.answer.text()
        assert answer == (right(spec, outcome.inputs) if name in spec.results else None), name
    else:
        assert (ending.reason in HONEST, ending.culprit) == (True, None), f"{name}: {ending}"
        assert ending.silent or ending.detail, f"{name}: {ending}"


def right(spec: SessionSpec, inputs: tuple[str, ...]) -> str:
    """What a trusted party would say."""
    assert len(inputs) >= spec.min_inputs
    if isinstance(spec.function, Sum):
        return f"{sum(RAISES[name] for name in inputs)}.00"
    ayes = sum(BALLOTS[name] == "yes" for name in inputs)
    return "YES" if 4 * ayes >= 3 * len(inputs) else "NO"


def main() -> int:
    """Tell random lies about so many sessions; print every one that ends as it must not."""
    parser = argparse.ArgumentParser(prog="tests.support.lied", description=__doc__)
    parser.add_argument("--sessions", type=int, default=30, help="side by side; at most 100")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the next has the next")
    parser.add_argument("--within", type=float, default=15.0, help="seconds")
    given = parser.parse_args()
    lies = {str(seed): generate(seed) for seed in range(given.seed, given.seed + min(given.sessions, 100))}
    ends: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory() as directory,
        lied_cluster(Path(directory), len(lies)) as lied,
    ):
        for what, spec in lied.ask_all(lies, given.within).items():
            try:
                ends[" + ".join(sorted(judged(lied, spec, lies[what])))] += 1
            except AssertionError:
                ends["FAILED"] += 1
                print(f"--- seed {what}", traceback.format_exc(), sep="\n")  # noqa: T201 - a command
    print(*(f"{count:6} {end}" for end, count in ends.most_common()), sep="\n")  # noqa: T201
    return 1 if ends["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
