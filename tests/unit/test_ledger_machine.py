"""In whatever order reservations, spends, releases, commits and crashes come: the books balance."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from party_node.anchor import Anchor, Tip
from party_node.journal import Journal
from party_node.ledger import Account
from tests.support.sessions import repeatable

AMOUNTS = [1, 100_000_000, 300_000_000, 999_999_999, 1_098_612_289]  # nano-ε
BUDGET = 3_000_000_000
sessions = st.integers(0, 11).map(lambda number: f"{number:064x}")

Books = dict[str, tuple[int, str]]  # session → what it costs, and whether it is reserved, spent or released


class KilledError(BaseException):
    """Between a commit and its anchor."""


@contextmanager
def killed_before_the_anchor() -> Iterator[None]:
    """The process ends where the anchor would be written."""

    def write(_self: Anchor, _tip: Tip) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch, suppress(KilledError):
        patch.setattr(Anchor, "write", write)
        yield


class Node(RuleBasedStateMachine):
    """A ledger on the disk beside a model of it: what is committed, and what will be by the next commit."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.copy = self.folder / "copy.sqlite"
        self.committed: Books = {}
        self.books: Books = {}
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.folder / "journal.sqlite")
        self.journal.tidy()

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    # -- a node --------------------------------------------------------------------------------------

    @rule(session=sessions, nano=st.sampled_from(AMOUNTS))
    def reserve(self, session: str, nano: int) -> None:
        if session in self.books:
            return  # the journal knows it: a node does not even ask
        counted = sum(cost for cost, state in self.books.values() if state != "released")
        fits = counted + nano <= BUDGET
        assert self.journal.ledger.reserve(session, "raise", nano, BUDGET, 1) == fits
        if fits:
            self.books[session] = (nano, "reserved")

    @rule(session=sessions)
    def spend(self, session: str) -> None:
        cost, state = self.books.get(session, (0, ""))
        if state in ("reserved", "spent"):
            self.journal.ledger.spend(session, 2)
            self.books[session] = (cost, "spent")

    @rule(session=sessions)
    def release(self, session: str) -> None:
        self.journal.ledger.release(session, 3)
        cost, state = self.books.get(session, (0, ""))
        if state == "reserved":
            self.books[session] = (cost, "released")

    @rule()
    def commit(self) -> None:
        self.journal.commit()
        self.committed = dict(self.books)

    # -- bad luck ------------------------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        self.journal.close()
        self.books = dict(self.committed)
        self.open()

    @rule()
    def crash_before_the_anchor(self) -> None:
        with killed_before_the_anchor():
            self.journal.commit()
        self.committed = dict(self.books)
        self.crash()

    @precondition(lambda self: not self.copy.exists())
    @rule()
    def set_a_copy_aside(self) -> None:
        self.commit()
        self.journal.close()
        shutil.copy(self.folder / "journal.sqlite", self.copy)
        self.copied = dict(self.books)
        self.open()

    @precondition(lambda self: self.copy.exists() and self.copied != self.committed)
    @rule()
    def put_the_copy_back(self) -> None:
        self.crash()
        self.journal.close()
        newest = self.folder / "journal.sqlite"
        newest.rename(self.folder / "newest.sqlite")
        shutil.copy(self.copy, newest)
        self.open()
        assert self.journal.ledger.flaw() is not None
        assert not self.journal.ledger.reserve("f" * 64, "raise", 1, None, 4)
        self.journal.close()
        (self.folder / "newest.sqlite").rename(newest)
        self.copy.unlink()
        self.open()

    # -- the books -----------------------------------------------------------------------------------

    @invariant()
    def balance(self) -> None:
        ledger = self.journal.ledger
        sums = {
            state: sum(cost for cost, each in self.books.values() if each == state)
            for state in ("spent", "reserved")
        }
        assert ledger.flaw() is None
        assert ledger.account("raise") == Account(sums["spent"], sums["reserved"])
        assert sums["spent"] + sums["reserved"] <= BUDGET
        latest = {entry.session: (entry.nano, str(entry.event)) for entry in ledger.entries()}
        assert latest == self.books


TestNode = Node.TestCase
TestNode.settings = settings(repeatable, max_examples=40, stateful_step_count=30)
