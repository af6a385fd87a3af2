"""Arguments and options that several commands take, each declared once; a parameter may stand for a group of them."""

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

Subscription = Annotated[str, typer.Argument(help="Name of the subscription.")]
Stream = Annotated[str, typer.Argument(help="Name of the stream.")]
LaneName = Annotated[str, typer.Argument(help="Lane, such as us-east-1/0.17.")]
StreamIfSeveral = Annotated[
    str | None, typer.Option("--stream", help="Name of the stream; required if the fabric has several.")
]
OnlyStream = Annotated[str | None, typer.Option("--stream", help="Only this stream.")]
OnlyLane = Annotated[str | None, typer.Option("--lane", help="Only this lane, such as us-east-1/0.17.")]
Reason = Annotated[str, typer.Option("--reason", help="Reason, kept on record.")]


def path_option(*names: str, help: str, is_folder: bool = False) -> Any:
    """Return an option for a path, which an empty text does not name. `is_folder`: a folder has to be there."""
    return typer.Option(*names, help=help, metavar="PATH", parser=_folder if is_folder else _path)


def _path(text: str | Path) -> Path:
    """Return the path that a text names. typer.BadParameter: it is empty, which Path takes for the current folder."""
    if not str(text):
        raise typer.BadParameter("found nothing, allowed: a path; that of the current folder is .")
    return Path(text)


def _folder(text: str | Path) -> Path:
    """Return the folder that a text names. typer.BadParameter: there is none."""
    path = _path(text)
    if not path.is_dir():
        raise typer.BadParameter(f"found {path}, allowed: a folder that is there")
    return path


def unless_subcommand(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command the callback of its group, which runs if no command of the group is named."""
    own = signature(command, eval_str=True).parameters

    @wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is None:
            command(**given)

    first = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return _taking(run, [first, *own.values()])


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter whose class has a method `of` by the options that `of` takes.

        @app.command()
        @grouped
        def show(name: Name, *, connection: Connection, json: Json = False) -> None:

    takes NAME, --definition, --region, --profile, --endpoint-url and --json.
    """
    own = signature(command, eval_str=True).parameters
    groups = {
        name: of for name, parameter in own.items() if (of := getattr(parameter.annotation, "of", None))
    }
    options_of = {name: signature(of, eval_str=True).parameters for name, of in groups.items()}

    @wraps(command)
    def run(**given: Any) -> None:
        for name, of in groups.items():
            given[name] = of(**{option: given.pop(option) for option in options_of[name]})
        command(**given)

    options: list[Parameter] = []
    for name, parameter in own.items():
        options += options_of.get(name, {name: parameter}).values()
    return _taking(run, [option.replace(kind=Parameter.KEYWORD_ONLY) for option in options])


def _taking(run: Callable[..., None], parameters: Sequence[Parameter]) -> Callable[..., None]:
    """Give a function the parameters from which typer makes the options and arguments of its command."""
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # functions may have one
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
