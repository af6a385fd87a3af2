"""Arguments and options that several commands take, each declared once."""

from typing import Annotated

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
