"""Answers of people are files: heard once, and what else lies there harms nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from party_node import approvals
from party_node.approvals import FOLDER
from protocol.errors import ConfigError

ONE, TWO = "1" * 64, "2" * 64


def said(data_dir: Path) -> list[tuple[str, bool, str]]:
    return [(each.session, each.approve, each.words) for each in approvals.heard(data_dir)]


def test_an_answer_is_heard_until_it_is_forgotten_and_the_last_word_counts(tmp_path: Path) -> None:
    assert said(tmp_path) == []
    approvals.say(tmp_path, ONE, approve=True, words="")
    approvals.say(tmp_path, ONE, approve=False, words="no: ünlikely")
    approvals.say(tmp_path, TWO, approve=True, words="")
    assert said(tmp_path) == [(ONE, False, "no: ünlikely"), (TWO, True, "")]
    approvals.forget(approvals.heard(tmp_path)[0])
    assert said(tmp_path) == [(TWO, True, "")]
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700


def test_what_is_no_answer_is_passed_over(tmp_path: Path) -> None:
    approvals.say(tmp_path, ONE, approve=True, words="")
    folder = tmp_path / FOLDER
    (folder / "a folder").mkdir()
    (folder / ".half").write_text("{")
    (folder / TWO).write_text('{"approve": "yes"}')
    assert said(tmp_path) == [(ONE, True, "")]
    assert not (folder / TWO).exists()


def test_answers_that_others_may_have_written_are_not_heard(tmp_path: Path) -> None:
    approvals.say(tmp_path, ONE, approve=True, words="")
    (tmp_path / FOLDER).chmod(0o777)
    with pytest.raises(ConfigError, match="others may write there"):
        approvals.heard(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_user_is_told_and_heard_by_nobody(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(ConfigError) as caught:
        approvals.say(tmp_path, ONE, approve=True, words="")
    assert caught.value.hint == "say it as the user who runs the node"
    assert not (tmp_path / FOLDER).exists()
    os.chown(tmp_path, 0, 0)
    approvals.say(tmp_path, ONE, approve=True, words="")
    os.chown(tmp_path / FOLDER, 12345, 12345)
    with pytest.raises(ConfigError, match="others may write there"):
        approvals.heard(tmp_path)
