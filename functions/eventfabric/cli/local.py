"""`eventfabric local`: run a fabric on this machine, as a server."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Definition, Json
from eventfabric.cli.output import say, show_json
from eventfabric.extras import needing

if TYPE_CHECKING:
    from eventfabric.testing.local.fabric import LocalFabric

app = typer.Typer(no_args_is_help=True, help="Run a fabric on this machine.")


@app.command()
def up(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 chooses a free one.")
    ] = 4599,
    deliver: Annotated[
        bool,
        typer.Option(help="Run the functions. Without them, nothing is delivered: tables and queues fill."),
    ] = True,
    setup: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Function to call first, with the fabric, to create your own tables.",
        ),
    ] = None,
    definition: Definition = None,
    json: Json = False,
) -> None:
    """Run the fabric on this machine until Ctrl-C. The AWS CLI and any SDK can use its tables and queues.

    Example: eventfabric local up --port 4599 --setup subscribers.tables:make

    Then: aws --endpoint-url http://127.0.0.1:4599 --region us-east-1 dynamodb scan --table-name shop-orders
    """
    with needing("local", "the local fabric"):
        from eventfabric.testing.local.server import serve
    from eventfabric.definition.file import handler_folders
    from eventfabric.sdk.subscriber import load_handler
    from eventfabric.settings import definition_path

    def announce(endpoint_url: str, fabric: "LocalFabric") -> None:
        if json:
            show_json({"endpoint_url": endpoint_url, "regions": list(fabric.regions)})
            return
        say(f"fabric {fabric.topology.fabric} at {endpoint_url}")
        say(f"Regions {', '.join(fabric.regions)}; any credentials work; Ctrl-C stops it")

    path = definition or definition_path()
    # On Lambda, the project's functions are on the path, too.
    sys.path[:0] = [str(folder) for folder in handler_folders(path) if folder.is_dir()]
    serve(
        path,
        port=port,
        setup=load_handler(setup, what="--setup") if setup else None,
        on_ready=announce,
        delivers=deliver,
    )
