# SPDX-License-Identifier: Apache-2.0
"""Releases and leases: decided, recorded durably, and only then sealed or signed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accord.board import AssetRecord, Member
from accord.channel import Exporter, Side, binder
from accord.encoding import Digest, Envelope
from accord.errors import SecretValueError, StaleStatementError, UnknownAssetError
from accord.evidence import appraise
from accord.identity import seal
from accord.policy import (
    AUTHORITY,
    Assurance,
    Channel,
    Policy,
    SecretKind,
    Service,
    names_in,
)
from accord.release import (
    GRANT_PURPOSE,
    Attested,
    Decision,
    Grant,
    GrantedInput,
    Lease,
    LeaseRequest,
    ReleaseRequest,
    Reserved,
    RunRecord,
    SecretUse,
    attest_requester,
    decide,
    grant_context,
    is_leased,
    nothing_stopped,
    owners_consent,
    renew,
    requested_service,
    used_assets,
)
from accord.secrets import MAX_IDENTITY_LIFETIME, PolicyAuthority, SecretValue
from accord.service._exchange import Exchange, PeerSecret
from accord.service._guesses import Guesses
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._refusals import explained, explained_once_attested, unexplained
from accord.service._reservations import Reservations, may_leave
from accord.service._secret_names import authority_name, deposit_name, secret_name
from accord.service._tags import granted_volumes, new_volume_keys

_PEER = "peer:"


class Timings:
    """How long the steps of one request took, in milliseconds, in the order they ended."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def stage(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.steps.append((step, (time.perf_counter() - start) * 1000))


@dataclass(frozen=True, slots=True, repr=False)
class _Prepared:
    """What a release needs that is not in memory: fetched first, for one version of a policy."""

    policy: Digest
    peers: Mapping[str, PeerSecret] = field(default_factory=dict)
    identity: tuple[bytes, ...] = ()
    password_secret: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class _Agreed:
    """What a release was decided on, before anything else could happen."""

    decision: Decision
    prepared: _Prepared
    assets: Mapping[str, AssetRecord]
    members: Mapping[str, Member]


class Releases:
    """Gives secrets to shields of the boards that this service writes."""

    def __init__(
        self, parts: Parts, assurance: Mapping[Digest, Assurance], exchange: Exchange
    ) -> None:
        self._parts, self._assurance, self._exchange = parts, assurance, exchange
        self._guesses = Guesses()
        self._reservations = Reservations(parts)

    async def release(
        self,
        host: BoardHost,
        request: ReleaseRequest,
        timings: Timings,
        connection: Exporter | None,
    ) -> bytes:
        """The message for the shield.

        Raises ``NotAttestedError`` for strangers; to a requester whose evidence holds, signed
        REL and ATT errors.
        """
        exporter = _client_binder(connection, request.channel, request.nonce)
        with timings.stage("verify"), unexplained():
            attested = attest_requester(
                host.machine,
                request,
                challenges=self._parts.challenges,
                now=host.now(),
                exporter=exporter,
            )
        with explained(self._parts, host, request.nonce):
            host.require_accepted()
            if self._reservations.find(host, request.policy, request.service) is None:
                await host.opened()
            prepared = await self._prepare(host, request, attested)
            reserved = await self._reserved(host, request, attested)
            agreed = self._agree(
                host, request, attested, prepared, timings=timings, reserved=reserved
            )
        release = agreed.decision.release
        with timings.stage("ledger"):
            objects: dict[str, bytes] = {release.evidence: request.evidence.to_bytes()}
            if request.tls_spki is not None and release.tls_spki_sha256 is not None:
                # For the certificates of its renewals; and so that anybody sees the key.
                objects[_object_name(release.tls_spki_sha256)] = request.tls_spki
            index = host.stage(
                self._parts.sign("release", release.to_json()),
                objects=objects,
                secrets=new_volume_keys(self._parts, host, release),
            )
            await may_leave(host, index, reserved)
        with timings.stage("seal"):
            grant = await self._grant(host, agreed)
            envelope = self._parts.sign("grant", grant.to_json())
            return seal(
                envelope.to_bytes(),
                release.keyset.seal_key,
                purpose=GRANT_PURPOSE,
                context=grant_context(host.board, request.nonce, release.keyset),
            )

    async def _prepare(
        self, host: BoardHost, request: ReleaseRequest, attested: Attested
    ) -> _Prepared:
        """Raises what would refuse the request anyway, so that nobody makes us fetch in vain."""
        board, now = host.machine.board, host.now()
        policy, service = requested_service(
            board, attested.claims, policy=request.policy, service=request.service, now=now
        )
        imports = any(policy.secrets[name].service for name in policy.secrets)
        if not (imports or service.identity or service.totp):
            return _Prepared(policy.digest)
        appraise(attested.claims, service.attestation, now=now)
        # Nobody else is asked, and their log gains nothing, for a run that would be refused.
        assets = frozenset(used_assets(policy, service))
        nothing_stopped(board, policy=policy.name, assets=assets, run="")
        owners_consent(
            board,
            host.machine.uses,
            policy=policy,
            service=service,
            assurance=attested.claims.assurance.weaker(self._assurance[host.board]),
            now=now,
        )
        identity: tuple[bytes, ...] = ()
        if service.identity and request.tls_spki is not None:
            identity = await self._certify(
                host, policy, request.service, request.tls_spki, now=host.now()
            )
        return _Prepared(
            policy.digest,
            peers=await self._exchange.fetch(host, policy, request.service),
            identity=identity,
            password_secret=await self._password_secret(host, policy, service),
        )

    async def _reserved(
        self, host: BoardHost, request: ReleaseRequest, attested: Attested
    ) -> Reserved | None:
        """What the release takes from, if its policy has a lease. Raises as `Reservations.take`."""
        policy, service = requested_service(
            host.machine.board,
            attested.claims,
            policy=request.policy,
            service=request.service,
            now=host.now(),
        )
        if not is_leased(policy, request.service):
            return None
        # Nothing is reserved for whoever would be refused anyway.
        appraise(attested.claims, service.attestation, now=host.now())
        return await self._reservations.take(host, policy.name, request.service)

    def _agree(
        self,
        host: BoardHost,
        request: ReleaseRequest,
        attested: Attested,
        prepared: _Prepared,
        *,
        timings: Timings,
        reserved: Reserved | None,
    ) -> _Agreed:
        # Again: members may have replaced this service while the release was prepared.
        host.require_accepted()
        now = host.now()

        def check_password(policy: Policy, name: str, password: str, last: int | None) -> int:
            # A deposited secret is one secret, whatever policies call it.
            source = policy.secrets[name].asset or f"{policy.name}:{name}"
            secret = prepared.password_secret
            return self._guesses.step(
                host.board, source, secret=secret, password=password, now=now, last=last
            )

        decision = decide(
            host.machine,
            request,
            attested,
            service_assurance=self._assurance[host.board],
            now=now,
            entropy=self._parts.entropy,
            check_password=check_password,
            peers={name: peer.version for name, peer in prepared.peers.items()},
            reserved=reserved,
            stage=timings.stage,
        )
        if decision.policy.digest != prepared.policy:
            raise StaleStatementError(
                what=f"policy {decision.policy.name}",
                found=prepared.policy,
                expected=decision.policy.digest,
            )
        board = host.machine.board
        assets = {item.asset: board.assets[item.asset] for item in decision.service.inputs}
        return _Agreed(decision, prepared, assets, board.members)

    # --- what is granted -------------------------------------------------------------------

    async def _grant(self, host: BoardHost, agreed: _Agreed) -> Grant:
        release, service = agreed.decision.release, agreed.decision.service
        inputs = []
        for item in service.inputs:
            record = agreed.assets[item.asset]
            key = await self._parts.secret(host.board, deposit_name(record.offered_by))
            if key is None or record.offer.volume_id is None:
                raise UnknownAssetError(asset=item.asset)
            inputs.append(GrantedInput(item.asset, record.offer.volume_id, item.tag, key))
        readers = {name for output in service.outputs for name in output.readers}
        return Grant(
            board=host.board,
            run=release.run,
            policy_digest=release.policy_digest,
            service_name=release.service,
            service=service,
            assurance=release.assurance,
            inputs=tuple(inputs),
            readers=tuple(agreed.members[name].identity for name in sorted(readers)),
            secrets=await self._values(host, agreed),
            identity=agreed.prepared.identity,
            lease_until=release.lease_until,
            volumes=await granted_volumes(self._parts, host, release),
        )

    async def _values(self, host: BoardHost, agreed: _Agreed) -> Mapping[str, bytes]:
        """The secrets that the service's templates name, and no others."""
        policy, service = agreed.decision.policy, agreed.decision.service
        values = {}
        for use in agreed.decision.release.secrets:
            if use.source.startswith(_PEER):
                values[use.name] = agreed.prepared.peers[use.name].value
                continue
            place = stored_as(policy, use)
            values[use.name] = await self._parts.value(host.board, place, name=use.name)
        named = {item.name for _, text in service.templates() for item in names_in(text)}
        if AUTHORITY in named:
            authority = await self._authority(host, policy)
            values[AUTHORITY] = authority.value.public_only().to_bytes()
        return values

    async def _authority(self, host: BoardHost, policy: Policy) -> PolicyAuthority:
        place = authority_name(policy.digest)
        stored = await self._parts.value(host.board, place, name=AUTHORITY)
        return PolicyAuthority.from_bytes(stored, board=host.board, policy=policy.name)

    async def _certify(
        self, host: BoardHost, policy: Policy, service: str, spki: bytes, *, now: datetime
    ) -> tuple[bytes, ...]:
        """A certificate for the key, which is bound to evidence; for as long as a lease lasts."""
        lease_s = policy.services[service].lease_s
        lifetime = MAX_IDENTITY_LIFETIME if lease_s is None else timedelta(seconds=lease_s)
        authority = await self._authority(host, policy)
        return authority.issue(spki, service=service, now=now, lifetime=lifetime)

    async def _password_secret(self, host: BoardHost, policy: Policy, service: Service) -> bytes:
        if service.totp is None:
            return b""
        spec = policy.secrets[service.totp]
        if spec.kind is SecretKind.ASSET:
            record = host.machine.board.assets.get(spec.asset or "")
            place = deposit_name(record.offered_by) if record is not None else ""
        else:
            place = secret_name(policy.digest, service.totp)
        stored = await self._parts.value(host.board, place, name=service.totp)
        return SecretValue.from_bytes(stored, what=f"secret {service.totp}").private

    # --- leases ----------------------------------------------------------------------------

    async def renew(
        self, host: BoardHost, request: LeaseRequest, connection: Exporter | None
    ) -> Envelope:
        """The signed lease of a run that may go on. Raises as `release` does."""
        exporter = _client_binder(connection, request.channel, request.nonce)
        with explained_once_attested(self._parts, host, request.nonce):
            renewal, record = renew(
                host.machine,
                request,
                challenges=self._parts.challenges,
                service_assurance=self._assurance[host.board],
                now=host.now(),
                exporter=exporter,
            )
            host.require_accepted()
        policy = host.machine.policy_of(record.release)
        index = host.stage(
            self._parts.sign("renewal", renewal.to_json()),
            objects={renewal.evidence: request.evidence.to_bytes()},
        )
        await host.confirmed(index)
        lease = Lease(
            board=host.board,
            run=renewal.run,
            nonce=request.nonce,
            until=renewal.until,
            identity=await self._recertify(host, policy, record),
        )
        return self._parts.sign("lease", lease.to_json())

    async def _recertify(
        self, host: BoardHost, policy: Policy, record: RunRecord
    ) -> tuple[bytes, ...]:
        release = record.release
        if release.tls_spki_sha256 is None:
            return ()
        hosting = self._parts.hosting
        spki = await hosting.run(
            hosting.store.object, host.board, _object_name(release.tls_spki_sha256)
        )
        if spki is None:
            raise SecretValueError(name="identity", detail="its key is not there")
        return await self._certify(host, policy, release.service, spki, now=host.now())


def stored_as(policy: Policy, use: SecretUse) -> str:
    """Where the value of ``use`` is, as its source says."""
    spec = policy.secrets[use.name]
    if spec.kind is SecretKind.ASSET:
        return deposit_name(use.version)
    name = spec.secret if spec.kind is SecretKind.IMPORT and spec.secret else use.name
    return secret_name(use.version, name)


def _object_name(sha256: bytes) -> Digest:
    return Digest(f"sha256:{sha256.hex()}")


def _client_binder(connection: Exporter | None, channel: Channel, nonce: bytes) -> bytes | None:
    """The client's binder where its evidence claims one. Raises ``ChannelLevelError``."""
    return binder(connection, Side.CLIENT, nonce) if channel is Channel.L2 else None
