"""Prove: show that a subscription handled exactly the log, lane by lane, and with which exceptions. Changes nothing.

    the log of a lane     [ 0 ]──[ 3 ]──[ 4 ]──[ 9 ]──[ 12 ] ...      every link computed anew, the lane read once
                                             │      │
    billing               chain x before 9 ──┘      │                 the same as the log's: handled exactly this
    audit                        chain y before 12 ─┘

A record that was changed, removed, inserted, doubled or moved anywhere before a cursor breaks a link, or the chain at
the cursor. Memory grows with the exceptions, never with the log.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from eventfabric.errors import LogError, MissingRecordError, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    START,
    Cursor,
    Intervention,
    Lane,
    LaneKey,
    Marks,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.proof import DeclarationsProof, LaneProof
from eventfabric.ports import Ledger, Ports
from eventfabric.services.catalogue.regions import with_former
from eventfabric.services.delivery.state_reader import reader_of
from eventfabric.services.lanes.batch_copies import BatchCopies
from eventfabric.services.lanes.begun import BegunLane, begun_lanes
from eventfabric.services.lanes.locate import KeptPart, kept_in
from eventfabric.services.lanes.splits import check_lane, interventions_in, start_of
from eventfabric.services.lanes.standing import (
    Standings,
    declaration_lanes_of,
    is_delivered_by,
    lanes_of,
    ledger_of,
    owner_of,
)
from eventfabric.services.proof.claim import Claim
from eventfabric.services.proof.declarations import DeclarationsProver
from eventfabric.services.proof.stuck import ahead_of
from eventfabric.services.proof.trail import Trail
from eventfabric.services.proof.tree import ClaimedTree
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

Watch = Callable[[int], None]
ReadStanding = Standing | UndecodableItemError
"""A subscription's standing, or why it cannot be read."""


class Prover:
    """Prover of subscriptions of one stream, as one Region delivers them. Its lanes may be proven in parallel."""

    def __init__(
        self,
        stream: StreamTopology,
        subscriptions: list[SubscriptionTopology],
        ports: Ports,
        *,
        lane: Lane | None = None,
    ) -> None:
        """Read who delivers what. `lane`: only this one; SettingError: the stream has no such lane."""
        self.stream = stream
        self._name = StreamName(stream.name)
        self._ports = ports
        self._log = ports.log_of(stream)
        self._region = ports.ledger.region
        lanes = lanes_of(stream)
        if lane is not None:
            check_lane(stream, lane, self._log)
        self._only = lane
        # Read before any cursor, so that what reconciliation saw of a cursor is older than the cursor.
        self._marks: dict[Region, Marks] = {
            origin: ports.ledger.marks(self._name, origin)
            for origin in {candidate.origin for candidate in lanes}
        }
        self._standings: list[tuple[SubscriptionTopology, ReadStanding]] = [
            (subscription, self._standing(subscription)) for subscription in subscriptions
        ]
        self.lanes = [
            candidate
            for candidate in lanes
            if (lane is None or lane.root == candidate)
            and any(
                self._delivers(subscription, candidate, standing)
                for subscription, standing in self._standings
            )
        ]

    def _standing(self, subscription: SubscriptionTopology) -> ReadStanding:
        """Return a subscription's standing, or why it cannot be read."""
        try:
            return Standings.of(subscription, self._ports).read()
        except UndecodableItemError as error:
            return error

    def _delivers(self, subscription: SubscriptionTopology, lane: Lane, standing: ReadStanding) -> bool:
        """Tell if this Region delivers the lane. True if that cannot be read: it is not proven that it does not."""
        if isinstance(standing, UndecodableItemError):
            return True
        return is_delivered_by(self._region, subscription, lane.origin, standing)

    def prove(self, lane: Lane, *, watch: Watch = lambda events: None) -> list[LaneProof]:
        """Return a proof for each subscription that has a cursor in the lane. Whatever is wrong is said in the proof.

        If the lane was split, and a cursor is past its seal, the lanes that it was split into follow. One read of the
        state for each subscription, one pass through the lane's log up to the furthest cursor, and reads of what a
        cursor comes to next. A lane in which nothing was handled is left out, unless it is stuck. `watch`: told of the
        number of events of each record that is verified.
        """
        claims, unread = self._claims(lane)
        proofs: list[LaneProof] = []
        # Parents first: a trail begins where the seal of the lane above ends.
        for own in sorted(claims):
            if self._only in (None, own):
                proofs += self._held(claims[own], own, watch)
        return [*(proof for proof in proofs if proof.cursor.version or proof.wrong or proof.stuck), *unread]

    def _held(self, claims: list[Claim], lane: Lane, watch: Watch) -> list[LaneProof]:
        """Hold what is claimed of one lane against its log."""
        kept_part = self._kept_part(lane, now_ms=self._ports.clock.now_ms())
        expired_ms = kept_part.from_ms if kept_part else None
        start = EMPTY_TAIL
        try:
            start = start_of(self._log, lane) or self._without_seal(lane)
        except LogError as error:
            for claim in claims:
                claim.stop(error)
        else:
            self._hold(claims, Trail(self._log, lane, expired_ms=expired_ms, start=start), lane, watch)
        return [self._with_what_is_ahead(claim.proof(), start) for claim in claims]

    def _without_seal(self, lane: Lane) -> NoReturn:
        """Raise the error that a lane was begun behind a seal that is not in the log here."""
        sequence = self._log.tail(lane.parent).sequence
        raise MissingRecordError(lane.parent, sequence, f"missing: the seal behind which lane {lane} begins")

    def _claims(self, root: Lane) -> tuple[dict[Lane, list[Claim]], list[LaneProof]]:
        """Return what the subscriptions claim of a root and the lanes beneath it, by lane.

        With a proof of nothing for each whose claim is unreadable.
        """
        claims: dict[Lane, list[Claim]] = {}
        unread: list[LaneProof] = []
        for subscription, standing in self._standings:
            try:
                claimed = self._claimed(subscription, standing, root)
            except UndecodableItemError as error:
                # Others are proven all the same: each subscription's state stands for itself.
                unread.append(self._unread(subscription, root, error))
            else:
                for lane, claim in claimed:
                    claims.setdefault(lane, []).append(claim)
        return claims, unread

    def _kept_part(self, lane: Lane, *, now_ms: int) -> KeptPart | None:
        """Return what this Region's log keeps of a lane; None: everything."""
        return kept_in(lane, self._region, retention_seconds=self.stream.retention_seconds, now_ms=now_ms)

    def _with_what_is_ahead(self, proof: LaneProof, start: Tail) -> LaneProof:
        """Add what stands in the log ahead of the cursor. `start`: the tail with which the lane begins."""
        subscription = next(own for own, _ in self._standings if own.name == proof.subscription)
        definition = subscription.definition
        lane, now_ms = proof.lane, self._ports.clock.now_ms()
        marks = self._marks[lane.origin]
        ahead = ahead_of(
            LaneKey(proof.stream, SubscriptionName(subscription.state_name), lane),
            proof.cursor,
            marks.of(lane.number),
            wanted=SubscriptionFilter.of(definition),
            log=self._log,
            region=self._region,
            kept_part=self._kept_part(lane, now_ms=now_ms),
            skips_expired=definition.on_expired == "skip",
            now_ms=now_ms,
            start=start,
        )
        return replace(proof, tail=ahead.tail, waits_since_ms=ahead.since_ms, stuck=ahead.stuck)

    def declarations(self) -> list[DeclarationsProof]:
        """Return a proof of what was declared of the stream, for each Region that has declared something."""
        return DeclarationsProver(self.stream, self._ports).prove()

    def interventions(self) -> list[Intervention]:
        """Return what operators did to the lanes, and to those of declarations. One read for each lane."""
        lanes = [*self.lanes, *declaration_lanes_of(with_former(self.stream, self._log))]
        return [intervention for lane in lanes for intervention in interventions_in(self._log, lane)]

    def _unread(
        self, subscription: SubscriptionTopology, lane: Lane, error: UndecodableItemError
    ) -> LaneProof:
        """Return a proof that proves nothing, because the subscription's state of the lane cannot be read."""
        name, nothing = SubscriptionName(subscription.name), SequenceNumber(0)
        wrong = Finding(FindingKind.UNREADABLE, self._name, lane, self._region, nothing, str(error), name)
        return LaneProof(self._name, name, lane, self._region, START, nothing, wrong=wrong)

    def _hold(self, claims: list[Claim], trail: Trail, lane: Lane, watch: Watch) -> None:
        """Walk the trail once for all claims, and tell each claim what it meets."""
        for claim in claims:
            claim.start(trail)
        try:
            tail = self._walk(claims, trail, lane, watch)
        except LogError as error:
            for claim in claims:
                claim.stop(error)
            return
        for claim in claims:
            claim.finish(trail, tail)

    def _walk(self, claims: list[Claim], trail: Trail, lane: Lane, watch: Watch) -> SequenceNumber:
        """Walk as far as the claims reach. Return where the lane ends: there, or later. LogError."""
        end = max(claim.end for claim in claims)
        for record in trail.walk(end):
            for claim in claims:
                claim.meet(trail, record)
            watch(record.count)
        # One record more binds a record in the middle of which a cursor stands.
        if any(claim.wants_successor for claim in claims):
            next(trail.walk(SequenceNumber(trail.position.sequence + 1)), None)
        # A trail that stopped short of a cursor ended at a gap, or at the end of the lane: only the log can tell.
        return trail.position.sequence if trail.position.sequence >= end else self._log.tail(lane).sequence

    def _claimed(
        self, subscription: SubscriptionTopology, standing: ReadStanding, root: Lane
    ) -> list[tuple[Lane, Claim]]:
        """Return what a subscription claims of a root, and of lanes beneath it. UndecodableItemError."""
        if isinstance(standing, UndecodableItemError):
            raise standing
        if not is_delivered_by(self._region, subscription, root.origin, standing):
            return []
        ledger = ledger_of(self._ports.ledger, subscription, root.origin)
        owner = owner_of(subscription, root.origin, standing)
        reader = reader_of(
            subscription, root.origin, owner, ledger=self._ports.ledger, clock=self._ports.clock
        )
        tree = ClaimedTree(ledger, [*begun_lanes(reader, root)], self.stream, is_alone=owner is None)
        claims = [(own.lane, self._claim(subscription, own, ledger, tree)) for own in tree.lanes]
        return [(lane, claim) for lane, claim in claims if claim is not None]

    def _claim(
        self, subscription: SubscriptionTopology, own: BegunLane, ledger: Ledger, tree: ClaimedTree
    ) -> Claim | None:
        """Return what a subscription claims of a lane. None if it handled nothing of it here. UndecodableItemError."""
        lane, cursor = own.lane, own.cursor
        stood_at = self._stood_at(subscription, lane, own.state.cursor(ledger.region))
        if not (cursor.version or stood_at or self._begins_here(subscription, lane)):
            return None
        claim = Claim(
            own.key,
            own.region,
            cursor,
            sees_from=self._region,
            exceptions=tree.exceptions(own),
            subscription_filter=SubscriptionFilter.of(subscription.definition),
            elsewhere=BatchCopies(ledger, own.key, own.state, tree.alone(own)).where,
        )
        if stood_at:
            claim.contradict_back(stood_at)
        return claim

    def _begins_here(self, subscription: SubscriptionTopology, lane: Lane) -> bool:
        """Tell if the subscription waits for the first event of the lane: then something may be in its way."""
        if subscription.definition.start != "earliest":
            return False  # its first doorbell will tell where it begins
        try:
            return self._log.tail(lane) != EMPTY_TAIL
        except LogError:
            return True

    def _stood_at(self, subscription: SubscriptionTopology, lane: Lane, cursor: Cursor) -> int:
        """Return where reconciliation saw this Region's cursor, if that is further on, without a replay; else 0."""
        marks = self._marks[lane.origin]
        doubt = marks.doubt(lane.number, [subscription.state_name])
        if doubt is not None:
            raise doubt
        marked = marks.of(lane.number).cursors.get(subscription.state_name)
        if marked is None or cursor.replay_until or marked[0] != cursor.epoch:
            return 0
        if cursor.sequence >= marked[1]:
            return 0
        try:  # a cursor beyond the end of a lane that was made anew had to go back
            is_made_anew = self._log.tail(lane).sequence < marked[1]
        except LogError:
            is_made_anew = False
        return 0 if is_made_anew else marked[1]
