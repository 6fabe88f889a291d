"""A configuration is checked before anything runs, and each error names file, key and both sides."""

import os
from decimal import Decimal
from pathlib import Path

import pytest

from party_node.config import config_path, load_coordinator, load_node
from party_node.roster import load_roster
from protocol.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
ALICE = """
name = "alice"
data_dir = "data"
roster = "../../roster.toml"
identity_key = "identity.key"

[broker]
host = "localhost"
port = 8883
ca = "../../ca/ca.crt"
certificate = "tls.crt"
key = "/etc/sotto/tls.key"

[inputs.raise]
value = "3800"
"""


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [key for key in os.environ if key.startswith("SOTTO_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def party(tmp_path: Path) -> Path:
    directory = tmp_path / "parties" / "alice"
    directory.mkdir(parents=True)
    (directory / "alice.toml").write_text(ALICE)
    return directory / "alice.toml"


def changed(path: Path, old: str, new: str) -> Path:
    assert old in ALICE
    path.write_text(ALICE.replace(old, new))
    return path


def complaint(path: Path) -> tuple[str, str]:
    """The message after the file's name, and the hint."""
    with pytest.raises(ConfigError) as caught:
        load_node(path)
    return caught.value.message.removeprefix(f"{path}: "), caught.value.hint


# --- what is read ---


def test_relative_paths_start_at_the_config_file_wherever_the_node_was_started(
    party: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(party.parent)
    config = load_node(Path("alice.toml"))
    assert config.roster == tmp_path / "roster.toml"
    assert config.data_dir == party.parent / "data"
    assert config.broker.ca == tmp_path / "ca" / "ca.crt"
    assert config.broker.key == Path("/etc/sotto/tls.key")
    assert config.directory == party.parent


def test_what_is_not_said_has_a_default(party: Path) -> None:
    config = load_node(changed(party, '[inputs.raise]\nvalue = "3800"', ""))
    assert (config.broker.protocol, config.broker.base_topic) == ("5", "sotto")
    assert (config.log_level, config.compute, config.inputs) == ("info", True, {})


@pytest.mark.parametrize("name", ["alice", "bob", "carlos", "david"])
def test_each_example_of_a_party_loads(name: str) -> None:
    config = load_node(CONFIGS / f"{name}.toml")
    raises = {"alice": 3800, "bob": 2514, "carlos": 2982, "david": 3390}
    assert config.name == name
    assert config.inputs["raise"].value == raises[name]
    assert config.identity_key == Path(f"/run/secrets/{name}_identity.key")


def test_the_examples_of_coordinator_and_roster_load_and_know_each_other() -> None:
    coordinator = load_coordinator(CONFIGS / "coordinator.toml")
    roster = load_roster(CONFIGS / "roster.toml")
    assert roster.is_coordinator(coordinator.name)
    assert list(roster.parties) == ["alice", "bob", "carlos", "david"]


@pytest.mark.parametrize("name", ["alice", "coordinator"])
def test_every_commented_out_key_of_an_example_is_a_key(name: str, tmp_path: Path) -> None:
    lines = (CONFIGS / f"{name}.toml").read_text().splitlines()
    keys = [line[2:] if line.startswith("# ") and _is_toml(line[2:]) else line for line in lines]
    keys = [line for line in keys if line != "value = 3800"]  # it is there a second time, as text
    (tmp_path / "all.toml").write_text("\n".join(keys))
    load = load_node if name == "alice" else load_coordinator
    config = load(tmp_path / "all.toml")
    assert config.log_level == "info"
    if name == "alice":
        assert set(load_node(tmp_path / "all.toml").inputs) == {
            "raise",
            "hours",
            "merge",
            "salaries",
            "sales",
        }


def _is_toml(text: str) -> bool:
    key, equals, _ = text.partition(" = ")
    return text.startswith("[") or (bool(equals) and key.isidentifier())


@pytest.mark.parametrize(
    ("written", "value"),
    [('"yes"', "yes"), ('" No "', " No "), ("true", True), ("false", False), ("1", 1), ("0", 0)],
)
def test_a_ballot_is_a_word_a_boolean_or_a_number(party: Path, written: str, value: object) -> None:
    declared = f"{written}\nlower = 0\nupper = 1\ndecimals = 0"
    source = load_node(changed(party, '"3800"', declared)).inputs["raise"]
    assert source.value == value
    assert type(source.value) is type(value)
    assert (source.lower, source.upper, source.decimals) == (Decimal(0), Decimal(1), 0)


# --- what may be told ---


def test_epsilon_is_written_as_a_decimal_and_counted_in_nanos(party: Path) -> None:
    rules = '[policy]\nmax_epsilon = "0.1"\nmin_colluders = 2\n[inputs.raise]\nepsilon = 3\nvalue = "3800"'
    config = load_node(changed(party, '[inputs.raise]\nvalue = "3800"', rules))
    assert (config.policy.max_epsilon, config.policy.min_colluders) == (100_000_000, 2)
    assert config.inputs["raise"].epsilon == 3_000_000_000


def test_epsilon_has_no_limit_unless_it_is_said_and_no_party_alone_may_see_more(party: Path) -> None:
    config = load_node(party)
    assert (config.policy.max_epsilon, config.policy.min_colluders) == (None, 1)
    assert config.inputs["raise"].epsilon is None
    assert config.inputs["raise"].exact is None


def test_epsilon_can_stand_in_a_variable(party: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOTTO_POLICY__MAX_EPSILON", "0.3")
    monkeypatch.setenv("SOTTO_INPUTS__RAISE__EPSILON", "0.000000001")
    config = load_node(party)
    assert config.policy.max_epsilon == 300_000_000
    assert config.inputs["raise"].epsilon == 1


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("0.1", '0.1 should be a whole number, or a decimal in quotes ("3171.50")'),
        ("true", 'True should be a whole number, or a decimal in quotes ("3171.50")'),
        ('"half"', "'half' is not a decimal number"),
        ('"inf"', "'inf' should be finite"),
        ('"NaN"', "'NaN' should be finite"),
        ('"0"', "'0' should be a positive number"),
        ('"-1"', "'-1' should be a positive number"),
        ('"0.0000000001"', "'0.0000000001' should have at most nine decimals"),
        ('"1e9"', "'1e9' is so large that nothing would be protected"),
    ],
)
def test_an_epsilon_that_is_none_is_refused_in_words(party: Path, written: str, problem: str) -> None:
    message, hint = complaint(
        changed(party, "[inputs.raise]", f"[policy]\nmax_epsilon = {written}\n[inputs.raise]")
    )
    assert message == f"policy.max_epsilon: {problem}"
    assert hint == "wanted: the most epsilon that one session may spend on an input of ours, in quotes"


def test_a_budget_that_is_none_is_refused_without_what_stands_below_inputs(party: Path) -> None:
    message, hint = complaint(changed(party, '"3800"', '"3800"\nepsilon = 0.1'))
    assert message == 'inputs.raise.epsilon: should be a whole number, or a decimal in quotes ("3171.50")'
    assert hint.startswith("wanted: the most epsilon that all sessions together may spend")


@pytest.mark.parametrize("written", ["-1", '"two"', "1.5"])
def test_colluders_are_a_whole_number(party: Path, written: str) -> None:
    message, _ = complaint(
        changed(party, "[inputs.raise]", f"[policy]\nmin_colluders = {written}\n[inputs.raise]")
    )
    assert message.startswith("policy.min_colluders: ")


# --- the environment ---


def test_a_variable_overrides_the_key_of_a_table(party: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOTTO_BROKER__HOST", "broker.example.org")
    monkeypatch.setenv("SOTTO_BROKER__PORT", "1234")
    monkeypatch.setenv("SOTTO_COMPUTE", "no")
    monkeypatch.setenv("SOTTO_CONFIG", "ignored here")
    config = load_node(party)
    assert (config.broker.host, config.broker.port) == ("broker.example.org", 1234)
    assert config.broker.base_topic == "sotto"
    assert not config.compute


def test_a_decimal_in_a_variable_keeps_its_text(party: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOTTO_INPUTS__RAISE__VALUE", "0.1")
    assert load_node(party).inputs["raise"].value == "0.1"


@pytest.mark.parametrize(("text", "value"), [("yes", "yes"), ("No", "No"), ("true", True), ("0", 0)])
def test_a_ballot_can_stand_in_a_variable(
    party: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: object
) -> None:
    monkeypatch.setenv("SOTTO_INPUTS__RAISE__VALUE", text)
    found = load_node(party).inputs["raise"].value
    assert found == value
    assert type(found) is type(value)


def test_an_error_in_a_variable_names_the_variable(party: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOTTO_BROKER__PORT", "99999")
    message, _ = complaint(party)
    assert message == "SOTTO_BROKER__PORT: '99999' should be less than or equal to 65535"


def test_a_variable_for_a_whole_table_is_refused_in_words(
    party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOTTO_BROKER", "broker.example.org")
    message, hint = complaint(party)
    assert message == 'environment: error parsing value for field "broker"'
    assert "SOTTO_BROKER__HOST" in hint


def test_sotto_config_names_the_file_where_no_path_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no configuration file") as caught:
        config_path(None)
    assert "SOTTO_CONFIG" in caught.value.hint
    monkeypatch.setenv("SOTTO_CONFIG", "/etc/sotto.toml")
    assert config_path(None) == Path("/etc/sotto.toml")
    assert config_path(Path("given.toml")) == Path("given.toml")


# --- what is refused ---


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("8883", "99999", "broker.port: 99999 should be less than or equal to 65535"),
        ("8883", "0", "broker.port: 0 should be greater than or equal to 1"),
        ('"localhost"', '""', "broker.host: '' should have at least 1 character"),
        ("port = 8883", "", "broker.port: missing"),
        ('"tls.crt"', "7", "broker.certificate: 7 should be a path in quotes"),
        (
            "[broker]",
            'log_level = "loud"\n[broker]',
            "log_level: 'loud' should be 'debug', 'info', 'warning' or 'error'",
        ),
        ("port = 8883", 'port = 8883\nprotocol = "4"', "broker.protocol: '4' should be '5' or '3.1.1'"),
        ("[inputs.raise]\nvalue", "[inputs]\nraise", "inputs.raise: should be a table"),
        ('value = "3800"', "", "inputs.raise: should have exactly one of value, csv (with column) and query"),
        ('"3800"', "[true]", "inputs.raise.value: should be a list of numbers: a yes or no stands alone"),
        ('"3800"', "[1, false]", "inputs.raise.value: should be a list of numbers: a yes or no stands alone"),
        (
            '"3800"',
            "2025-01-01",
            "inputs.raise.value: should be a number in quotes, a whole number, a list of those, or yes or no",
        ),
        (
            '"3800"\n',
            "true\nlower = false\n",
            'inputs.raise.lower: should be a whole number, or a decimal in quotes ("3171.50")',
        ),
        (
            'value = "3800"',
            'value = false\nquery = "SELECT 1"',
            "inputs.raise: should have exactly one of value, csv (with column) and query",
        ),
        ('value = "3800"', 'csv = "a.csv"', "inputs.raise: csv and column go together"),
        ('value = "3800"', 'value = 1\ncolumn = "a"', "inputs.raise: csv and column go together"),
        (
            'value = "3800"',
            'value = 1\nquery = "SELECT 1"',
            "inputs.raise: should have exactly one of value, csv (with column) and query",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_key_and_what_it_may_be(
    party: Path, old: str, new: str, message: str
) -> None:
    assert complaint(changed(party, old, new))[0] == message


@pytest.mark.parametrize("name", ["Alice", "all", "compute", "", "1a", "a_b", "a" * 33, "a\\n"])
def test_a_name_outside_the_pattern_or_a_reserved_one_is_refused(party: Path, name: str) -> None:
    message, hint = complaint(changed(party, '"alice"', f'"{name}"'))
    assert message.startswith("name: ")
    assert "[a-z][a-z0-9-]{0,31}" in hint


@pytest.mark.parametrize("topic", ["", "a/", "/a", "a//b", "a/#", "+", "a+b", "$SYS"])
def test_a_base_topic_that_is_no_plain_topic_is_refused(party: Path, topic: str) -> None:
    message, _ = complaint(changed(party, "port = 8883", f'port = 8883\nbase_topic = "{topic}"'))
    assert message.startswith(f"broker.base_topic: {topic!r} should be topic levels")


@pytest.mark.parametrize(
    ("old", "new", "place", "known"),
    [
        ("host", "hots", "broker.hots", "did you mean host?"),
        ("[broker]", "[brokr]", "brokr", "did you mean broker?"),
        ("value", "valeu", "inputs.raise.valeu", "did you mean value?"),
        ("data_dir", "zzz", "zzz", "known here: broker, compute, data_dir"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(party: Path, old: str, new: str, place: str, known: str) -> None:
    message, hint = complaint(changed(party, old, new))
    assert message == f"{place}: unknown key"
    assert hint.startswith(known)


def test_inputs_are_unknown_to_a_coordinator(party: Path) -> None:
    with pytest.raises(ConfigError, match="inputs: unknown key"):
        load_coordinator(party)


def test_a_toml_float_is_refused_because_it_is_not_exact(party: Path) -> None:
    message, _ = complaint(changed(party, '"3800"', "3800.1"))
    assert message == 'inputs.raise.value: should be quoted, as in "0.1": a TOML float is not exact'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"3800"', "38000123.5"),
        ('"3800"', '{ amount = "38000123" }'),
        ('"3800"', '["38000123", true]'),
        ('"3800"', '"38000123"\nquery = "SELECT 38000123"'),
        ('value = "3800"', "38000123 = 38000123.5\nvalue = 38000123"),
        ('[inputs.raise]\nvalue = "3800"', '[inputs]\nraise = "38000123"'),
        ("[inputs.raise]\nvalue", "[input.raise]\n38000123.0 = 38000123\nvalue"),
        ("value", "valeu"),
    ],
)
def test_an_inputs_value_is_in_no_error(party: Path, old: str, new: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_node(changed(party, old, new))
    shown = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__} {caught.value.__context__}"
    assert "38000123" not in shown.replace("inputs.raise.38000123", "")  # a key, not a value
    assert "3800" not in shown.replace("38000123", "")


def test_an_inputs_value_is_not_in_the_repr_of_the_configuration(party: Path) -> None:
    assert "3800" not in repr(load_node(party))
    assert "3800" not in str(load_node(party))


def test_a_private_key_in_place_of_its_path_is_not_repeated(party: Path) -> None:
    message, _ = complaint(changed(party, '"identity.key"', '"""-----BEGIN PRIVATE KEY-----\nMC4CAQ"""'))
    assert message == "identity_key: text of several lines should be the path of a file, not what is in it"


# --- the file itself ---


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "nobody.toml") == ("no such file", "check the path")


def test_a_directory_is_not_a_config(tmp_path: Path) -> None:
    assert complaint(tmp_path)[0] == "is a directory"


def test_bad_toml_is_refused_with_its_line(party: Path) -> None:
    message, _ = complaint(changed(party, '"localhost"', "localhost"))
    assert "line 8" in message


def test_a_file_that_is_not_utf_8_is_refused(party: Path) -> None:
    party.write_bytes(ALICE.replace("alice", "é").encode("latin-1"))
    assert complaint(party)[0] == "not UTF-8 text"


def test_a_file_that_we_may_not_read_is_refused(party: Path) -> None:
    party.chmod(0)
    user = os.geteuid()
    if user == 0:  # whom no mode stops
        os.seteuid(65534)
    try:
        assert complaint(party)[0] == "permission denied"
    finally:
        os.seteuid(user)
