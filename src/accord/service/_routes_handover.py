# SPDX-License-Identifier: Apache-2.0
"""The routes with which a board moves from one running service to another."""

from __future__ import annotations

from accord.service._route import DOCUMENT_BYTES, KIB, Auth, Route

_HANDOVER = "/v1/boards/{board}/handover"

HANDOVER = (
    Route(
        handler="handover",
        path=_HANDOVER,
        auth=Auth.ANONYMOUS,
        summary="To which service this one handed the board over: the signed entry",
        reply="Handover",
    ),
    Route(
        handler="hand_over",
        path=_HANDOVER,
        method="POST",
        auth=Auth.STATEMENT,
        summary="Hand the board over to another, attested service",
        request="HandoverAsked",
        reply="Handover",
        max_body=DOCUMENT_BYTES,
    ),
    Route(
        handler="handover_offer",
        path=f"{_HANDOVER}/offer",
        method="POST",
        auth=Auth.ANONYMOUS,
        summary="Evidence of a service that could go on, for the one that has the board",
        request="HandoverOfferAsked",
        reply="HandoverOffer",
        max_body=DOCUMENT_BYTES,
    ),
    Route(
        handler="handover_package",
        path=f"{_HANDOVER}/package",
        auth=Auth.PEER,
        summary="The log and the secrets, sealed to the service that goes on",
        reply="Bytes",
        media_type="application/octet-stream",
    ),
    Route(
        handler="handover_take",
        path=f"{_HANDOVER}/take",
        method="POST",
        auth=Auth.STATEMENT,
        summary="Fetch the board from the service that has it, and go on",
        request="HandoverTaken",
        reply="HandoverDone",
        max_body=DOCUMENT_BYTES,
    ),
    Route(
        handler="handover_done",
        path=f"{_HANDOVER}/done",
        method="POST",
        auth=Auth.STATEMENT,
        summary="The word of the service that goes on: it has everything",
        request="Envelope",
        reply="Founded",
        max_body=16 * KIB,
    ),
)
