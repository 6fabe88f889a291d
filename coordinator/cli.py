"""`coordinator`: announces sessions, shows what becomes of them, and runs a local cluster."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from party_node import console
from protocol.dp.noise import Relation
from protocol.errors import SottoError
from protocol.functionalities import CATALOGUE, Functionality

PROGRAM = "coordinator"
app = typer.Typer(
    help="Announce computations over data that none of the participants shows to anybody.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
launch = typer.Typer(
    help="Announce a session and follow it to its end.", no_args_is_help=True, add_completion=False
)
app.add_typer(launch, name="launch")

Directory = Annotated[Path | None, typer.Option("--dir", help="a cluster made by `coordinator up`")]
ClusterDirectory = Annotated[Path, typer.Option("--dir", help="the cluster's directory")]
Config = Annotated[
    Path | None, typer.Option("--config", help="the coordinator's TOML file; SOTTO_CONFIG names it too")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout and nothing else")]
Session = Annotated[str, typer.Argument(help="the session's id, or enough of its beginning")]


# -- launch: one command for each function, its options from the function's own fields -----------------


def _common(
    *,
    input_: Annotated[str, typer.Option("--input", help="the name of the input at each party")],
    parties: Annotated[
        str | None, typer.Option(help="input parties, comma-separated", show_default="all in the roster")
    ] = None,
    compute: Annotated[
        str | None, typer.Option(help="compute parties, at least two", show_default="the input parties")
    ] = None,
    result_to: Annotated[
        str | None,
        typer.Option(help="result parties", show_default="the input parties and the coordinator"),
    ] = None,
    min_inputs: Annotated[
        int | None, typer.Option(help="fewest inputs that make an answer", show_default="all")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="publish the answer for everybody")] = False,
    within: Annotated[float, typer.Option(help="seconds until the session closes")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be announced")] = False,
    directory: Directory = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """The options that every function has; `_command` reads this signature."""


def _private(
    *,
    epsilon: Annotated[
        str | None,
        typer.Option(
            help="ε: noise is added before anything is opened, and the answer is ε-differentially private",
            show_default="no noise: the exact answer",
        ),
    ] = None,
    colluders: Annotated[
        int | None,
        typer.Option(
            help="how many compute parties may pool their noise shares and still see no more than ε allows. "
            "c of k make the noise k/(k − c) times the variance of one discrete Laplace: among 5, 4 make it "
            "5 times, 2 make it 1.67 times. Less noise at a price: c + 1 who pool theirs see more than that",
            show_default="all but one",
        ),
    ] = None,
    relation: Annotated[
        Relation | None,
        typer.Option(
            help="which two cases the answer hardly tells apart: that one party's whole input is another "
            "one, or that it is there or not",
            show_default="replace-one",
        ),
    ] = None,
) -> None:
    """The options of functions that take noise; one party's whole input is what they protect."""


def _command(function: type[Functionality]) -> Callable[..., None]:
    """A command whose options are the common ones, the fields of the function, and those of noise."""
    fields = {name: field for name, field in function.model_fields.items() if name != "name"}
    kinds = {name: _kind(field.annotation) for name, field in fields.items()}

    def command(**given: Any) -> None:
        from coordinator import sessions

        values = {name: given.pop(name) for name in fields}
        parameters = {
            name: _parsed(name, value) if kinds[name] is Decimal else value
            for name, value in values.items()
            if value is not None
        }
        if given.get("epsilon") is not None:
            given["epsilon"] = _parsed("epsilon", given["epsilon"], "0.5")
        sessions.launch(function, parameters, given)

    parameters = _parameters(_common)
    for name, field in fields.items():
        kind = int if kinds[name] is int else str
        default = inspect.Parameter.empty if field.is_required() else field.default if kind is int else None
        about, _, fallback = (field.description or "").partition(" [default: ")
        shown = typer.Option(help=about, show_default=fallback.removesuffix("]") or True)
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[kind | None, shown],
            )
        )
    if function.sensitivity is not Functionality.sensitivity:
        parameters += _parameters(_private)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__doc__ = inspect.getdoc(function)
    return command


def _parameters(signature: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(signature, eval_str=True).parameters.values())


def _kind(annotation: Any) -> type:
    """What an option is read as; other than whole numbers and words all are exact decimals."""
    return next((kind for kind in (int, str) if kind in (annotation, *get_args(annotation))), Decimal)


def _parsed(name: str, value: str, example: str = "3171.50") -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        raise SottoError(f"--{name} {value}: not a number", f"write it like {example}") from None


for _name, _function in CATALOGUE.items():
    launch.command(_name)(_command(_function))


# -- sessions --------------------------------------------------------------------------------------------


@app.command("list")
def list_(directory: Directory = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the sessions that this coordinator announced."""
    from coordinator import sessions

    sessions.show_all(directory, config, as_json=as_json)


@app.command()
def watch(
    session: Session, directory: Directory = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Follow a session to its end."""
    from coordinator import sessions

    sessions.watch(session, directory, config, as_json=as_json)


@app.command()
def result(
    session: Session, directory: Directory = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Show how a session ended, and its answer if the coordinator may know it."""
    from coordinator import sessions

    sessions.result(session, directory, config, as_json=as_json)


@app.command()
def cancel(
    session: Session, directory: Directory = None, config: Config = None, as_json: AsJson = False
) -> None:
    """End a session that is not over yet."""
    from coordinator import sessions

    sessions.cancel(session, directory, config, as_json=as_json)


# -- a local cluster -------------------------------------------------------------------------------------


@app.command()
def up(
    directory: ClusterDirectory,
    parties: Annotated[
        str | None, typer.Option(help="names, comma-separated; not needed for a cluster that exists")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="CSV file: a column `party`, and one for each named input")
    ] = None,
    lifetime: Annotated[
        float | None, typer.Option(help="seconds after which the cluster goes down by itself")
    ] = None,
) -> None:
    """Start a broker and one node for each party on this machine; returns when all are ready."""
    from coordinator import local

    local.up(directory, parties, inputs, lifetime)


@app.command()
def init(
    directory: ClusterDirectory,
    broker: Annotated[str, typer.Option(help="HOST:PORT at which everybody will reach the broker")],
    parties: Annotated[
        str | None, typer.Option(help="parties whose keys to make as well; others enroll with their own")
    ] = None,
) -> None:
    """Make the authority, the broker's and the coordinator's keys for a network of several machines."""
    from coordinator import announce
    from coordinator import init as network

    network.init(directory, announce.names(parties) or [], broker)


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="the party's name")],
    request: Annotated[Path, typer.Argument(help="the tls.csr that `party-node init` wrote")],
    identity: Annotated[str, typer.Argument(help="the identity that it printed")],
    directory: ClusterDirectory,
) -> None:
    """Sign a party's certificate request and add it to the roster."""
    from coordinator import enroll as enrolment
    from coordinator import terminal

    for line in enrolment.enroll(directory, name, request, identity):
        terminal.say(line)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="the party's name")],
    why: Annotated[str, typer.Option(help='the reason, which everybody will see: "lost laptop"')],
    directory: ClusterDirectory,
) -> None:
    """Take a party's keys and certificates back: nodes and broker refuse them."""
    from coordinator import revoke as revocation
    from coordinator import terminal

    for line in revocation.revoke(directory, name, why):
        terminal.say(line)


@app.command()
def renew(directory: ClusterDirectory) -> None:
    """Renew the certificates of the broker, the coordinator and whoever else has a key here."""
    from coordinator import renew as renewal
    from coordinator import terminal

    for line in renewal.renew(directory):
        terminal.say(line)


@app.command()
def trust(
    name: Annotated[str, typer.Argument(help="the party's name")],
    fingerprint: Annotated[str, typer.Argument(help="SHA256:… as its owner read it out by telephone")],
    directory: Directory = None,
    config: Config = None,
) -> None:
    """Believe a key that has changed, if its fingerprint is the one that you were told."""
    from coordinator import sessions, terminal
    from party_node import pins
    from party_node.roster import load_roster

    settings = sessions.load(directory, config)
    terminal.say(pins.trust(settings.data_dir, load_roster(settings.roster), name, fingerprint))


@app.command()
def down(
    directory: ClusterDirectory,
    after: Annotated[float, typer.Option(help="seconds to wait before")] = 0.0,
) -> None:
    """Stop the broker and the nodes; keys, configs and journals stay."""
    from coordinator import local

    local.down(directory, after)


@app.command()
def demo(
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="keep the cluster's files here", show_default="a temporary directory"),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(help="average, referendum or private", show_default="one after the other"),
    ] = None,
) -> None:
    """Four colleagues learn their average raise and nothing else; they vote, and none counts; then noise."""
    from coordinator import demo as story

    story.run(directory, function)


def main() -> None:
    """The console script."""
    console.run(app, PROGRAM)


if __name__ == "__main__":
    main()
