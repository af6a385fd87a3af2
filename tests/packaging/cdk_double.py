"""A double of the CDK's command line, which npm would fetch."""

from hashlib import sha256

from eventfabric.cdk.command_line import LOCK
from tests.packaging.environment import Environment

PROGRAM = """
const { spawnSync } = require("child_process");
const [command, ...rest] = process.argv.slice(2);
if (command !== "synth") {
  console.log(JSON.stringify([command, ...rest]));
  process.exit(7);
}
const { app, output, context } = JSON.parse(require("fs").readFileSync("cdk.json"));
const env = { ...process.env, CDK_OUTDIR: output, CDK_CONTEXT_JSON: JSON.stringify(context) };
process.exit(spawnSync(app, { shell: true, stdio: "inherit", env }).status);
"""
"""Runs an app as the CDK's command line does, or prints its arguments."""


def install_cdk(environment: Environment) -> None:
    """Have the environment's user have fetched it before."""
    digest = sha256((LOCK / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = (
        environment.home / ".cache" / "eventfabric" / f"cdk-{digest}" / "node_modules" / "aws-cdk" / "bin"
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cdk").write_text(PROGRAM)
