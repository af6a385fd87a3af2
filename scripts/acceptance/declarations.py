"""Declarations: what stacks declare of themselves, also if their deployment fails, and whom they refuse."""

from eventfabric.aws.log import AwsLog
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration
from eventfabric.services.catalogue.lane import newest
from scripts.acceptance.cdk import Cdk, DeploymentFailedError
from scripts.acceptance.fabric import DeployedFabric
from scripts.acceptance.report import Report
from scripts.acceptance.target import Target

STREAM = "orders"
ADDED = "added"
OWNER = 'owner = "acceptance"'


class Declarations:
    """Declarations of a fabric's stream, and deployments that fail. Those are of stacks that are there anyway."""

    def __init__(self, target: Target, fabric: DeployedFabric, cdk: Cdk, report: Report) -> None:
        self._target, self._fabric, self._cdk, self._report = target, fabric, cdk, report

    def check_first(self) -> None:
        """Check that the first deployment has declared all that it deployed, in each Region."""
        stream = self._fabric.topology.stream(STREAM)
        wanted = {own.name: "active" for own in stream.subscriptions}
        for region in self._fabric.regions:
            states = {name: str(own.state) for name, own in self._declared(region).subscriptions.items()}
            problem = "" if states == wanted else f"found {states}"
            self._report.check(f"what is deployed in {region} is declared there", problem)

    def fail_to_create(self) -> None:
        """Have a subscription's first deployment fail once it has declared."""
        self._fail("ROLLBACK_COMPLETE")
        state = str(self._declared(self._fabric.home).subscriptions[ADDED].state)
        problem = "" if state == "undeployed" else f"it is {state}"
        self._report.check("a creation that fails after it has declared leaves nothing deployed", problem)

    def fail_to_update(self) -> None:
        """Have an update fail once it has declared."""
        before = self._declared(self._fabric.home).subscriptions[ADDED]
        with self._fabric.edited(lambda text: f'{text}contact = "nobody"\n'):
            self._fail("UPDATE_ROLLBACK_COMPLETE")
        after = self._declared(self._fabric.home)
        problem = "" if after.subscriptions[ADDED] == before else f"found {after.subscriptions[ADDED]}"
        self._report.check("an update that fails after it has declared leaves what was declared", problem)
        kind = after.change.kind
        problem = "" if kind == "rolled back" else f"the last change is: {kind}"
        self._report.check("a rollback is declared, too", problem)

    def refuse_second_owner(self) -> None:
        """Deploy a fabric of the same name that somebody else owns."""
        stack = self._fabric.topology.stack_name("cell", self._fabric.home)
        with self._fabric.edited(lambda text: text.replace(OWNER, 'owner = "another"')):
            said = self._refusal(stack)
        wanted = "'acceptance' has declared stream orders"
        self._report.check("a second owner is refused by one sentence", "" if wanted in said else said[-600:])
        self._ended(stack, "UPDATE_ROLLBACK_COMPLETE")

    def _fail(self, status: str) -> None:
        """Deploy the subscription's stack at home with a resource that cannot be made, last of all."""
        stack = self._fabric.topology.stack_name("subscription", self._fabric.home, subscription=ADDED)
        with self._fabric.failing(ADDED):
            self._refusal(stack)
        self._ended(stack, status)

    def _refusal(self, stack: str) -> str:
        try:
            self._cdk.deploy(stack, exclusively=True)
        except DeploymentFailedError as error:
            return str(error)
        return "nothing: it was deployed"

    def _ended(self, stack: str, wanted: str) -> None:
        client = self._target.client("cloudformation", self._fabric.home)
        [description] = client.describe_stacks(StackName=stack)["Stacks"]
        status = str(description["StackStatus"])
        self._report.check(f"{stack} ends in {wanted}", "" if status == wanted else f"it is {status}")

    def _declared(self, region: str) -> Declaration:
        log = AwsLog(self._target.client("dynamodb", region), f"{self._fabric.name}-{STREAM}")
        known = newest(log, DeclarationLane.of(Region(region), StreamName(STREAM)))
        assert known is not None, f"nothing is declared in {region}"
        return known.declaration
