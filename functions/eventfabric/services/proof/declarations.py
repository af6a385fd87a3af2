"""Proof of declarations: that what is declared of a stream is what was declared, link by link and in each Region.

Nobody delivers these lanes, so there is no cursor to hold them against. Instead each copy is held against the others:
whoever rewrote the chain of one would have to rewrite them all.
"""

from typing import Final

from eventfabric.errors import DivergenceError, LogError, MissingRecordError, PortError
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Region, SequenceNumber, StreamName, Tail
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.proof import DeclarationsProof
from eventfabric.ports import Ports
from eventfabric.services.catalogue.regions import with_former
from eventfabric.services.lanes.standing import declaration_lanes_of
from eventfabric.services.proof.trail import Trail
from eventfabric.stream_topology import StreamTopology

_NOTHING: Final = EMPTY_TAIL.sequence


class DeclarationsProver:
    """Prover of the lanes of declarations of one stream, as one Region has them and the others confirm them."""

    def __init__(self, stream: StreamTopology, ports: Ports) -> None:
        self._log = ports.log_of(stream)
        self._stream = with_former(stream, self._log)
        self._region = ports.ledger.region
        others = [Region(name) for name in stream.definition.regions if name != self._region]
        self._others = {region: ports.at(region).log_of(stream) for region in others}

    def prove(self) -> list[DeclarationsProof]:
        """Return a proof for each Region that has declared something. Whatever is wrong is said in the proof.

        Reads all declarations here, and the newest in each other Region; one record more there if one is behind.
        """
        proofs = [self._proof(lane) for lane in declaration_lanes_of(self._stream)]
        return [proof for proof in proofs if proof.end or proof.wrong or any(proof.copies.values())]

    def _proof(self, lane: DeclarationLane) -> DeclarationsProof:
        name, copies, end = StreamName(self._stream.name), dict[Region, SequenceNumber | None](), _NOTHING
        wrong: Finding | None = None
        try:
            tail = self._walked(lane)
            end = tail.sequence
            for region in self._others:
                copies[region] = self._compared(lane, tail, region)
        except LogError as error:
            kind = FindingKind.HOLE if isinstance(error, MissingRecordError) else FindingKind.DIVERGENCE
            sequence = SequenceNumber(error.sequence)
            wrong = Finding(kind, name, lane, self._region, sequence, error.reason)
        return DeclarationsProof(name, lane, self._region, end, copies, wrong)

    def _walked(self, lane: DeclarationLane) -> Tail:
        """Return the end of the lane after each of its records was verified against the one before. LogError."""
        tail, trail = self._log.tail(lane), Trail(self._log, lane, expired_ms=None)
        for _ in trail.walk(tail.sequence):
            pass
        if trail.position.chain != tail.chain:
            raise DivergenceError(lane, tail.sequence, "the lane ends otherwise than its records lead to")
        return tail

    def _compared(self, lane: DeclarationLane, tail: Tail, region: Region) -> SequenceNumber | None:
        """Return where a Region's copy ends; None: it gives no answer. LogError if it is another one than that here."""
        log = self._others[region]
        try:
            copy = end = log.tail(lane)
            if copy.sequence > tail.sequence:
                copy = log.tail(lane, before=tail.sequence)
        except PortError:
            return None
        if end.sequence < tail.sequence:  # as far as both go
            tail = self._log.tail(lane, before=copy.sequence)
        has_hole = copy.sequence < tail.sequence < end.sequence  # which a proof in that Region finds
        if not (has_hole or tail.is_of_same_log(copy)):
            raise DivergenceError(lane, tail.sequence, f"{region} has another declaration before it")
        return end.sequence
