# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document of the HTTP interface, made from the table of routes."""

from __future__ import annotations

import re

from accord import __version__
from accord.encoding import JSONValue
from accord.service._openapi_schemas import SCHEMAS
from accord.service._route import JSON, NEXT_NONCE, REPLAY_NONCE, Auth, Parameter, Route
from accord.service._routes import ROUTES

PROBLEM = "application/problem+json"

_PLACES = {
    "board": ("Hex", "Digest of the board's genesis, without `sha256:`."),
    "digest": ("Hex", "Digest of the body, without `sha256:`."),
    "id": ("Hex", "Digest of the proposal's statement, without `sha256:`."),
    "name": ("PolicyName", "Name of the policy; slashes are not escaped."),
    "index": ("Count", "Index of the entry."),
    "tile": ("Text", "Level and index, as C2SP's tlog-tiles spells them."),
}
"""What stands in paths."""

_SIGNED = (Auth.MEMBER, Auth.READER)

_TITLE = "Accord trust service"
_DESCRIPTION = (
    "TLS 1.3 to a key that the service's evidence names. Whatever is refused is answered with "
    "a problem document (RFC 9457). The routes and their authorisation: docs/reference/api.md."
)


def openapi() -> dict[str, JSONValue]:
    """The whole document."""
    paths: dict[str, JSONValue] = {}
    for route in ROUTES.values():
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": _TITLE,
            "version": __version__,
            "summary": "The HTTP interface, version 1",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "signed": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Accord <base64>`: a signed request, see docs/reference/api.md",
                }
            },
        },
    }


def _operation(route: Route) -> JSONValue:
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters = [_place(name) for name in names] + [_asked(item) for item in route.parameters]
    if route.repeatable:
        about = "The same key with the same body gets the same answer, for 24 hours."
        parameters.append(
            _asked(Parameter("Idempotency-Key", "IdempotencyKey", about, header=True))
        )
    operation: dict[str, JSONValue] = {
        "operationId": route.handler,
        "summary": route.summary,
        "x-accord-auth": route.auth.value,
        "parameters": parameters,
        "responses": {str(route.status): _answer(route), **_refusals(route)},
    }
    if route.auth in _SIGNED:
        # Where a policy says anyone, nothing is needed.
        operation["security"] = [{"signed": []}, *([{}] if route.auth is Auth.READER else [])]
    if route.request:
        operation["x-accord-max-body"] = route.max_body
        operation["requestBody"] = {"required": True, "content": _content(JSON, route.request)}
    return operation


def _place(name: str) -> JSONValue:
    schema, about = _PLACES[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": about,
        "schema": {"$ref": f"#/components/schemas/{schema}"},
    }


def _asked(parameter: Parameter) -> JSONValue:
    return {
        "name": parameter.name,
        "in": "header" if parameter.header else "query",
        "required": False,
        "description": parameter.about,
        "schema": {"$ref": f"#/components/schemas/{parameter.schema}"},
    }


def _answer(route: Route) -> JSONValue:
    answer: dict[str, JSONValue] = {
        "description": "What was asked for",
        "content": _content(route.media_type, route.reply),
    }
    named = {"ETag": "ETag"} if route.etag else {}
    if NEXT_NONCE in route.parameters:
        named[REPLAY_NONCE] = "Nonce"
    if named:
        answer["headers"] = {
            name: {"schema": {"$ref": f"#/components/schemas/{schema}"}}
            for name, schema in named.items()
        }
    return answer


def _refusals(route: Route) -> dict[str, JSONValue]:
    problem = {"description": "Refused, in words", "content": _content(PROBLEM, "Problem")}
    found: dict[str, JSONValue] = {"4XX": problem, "5XX": problem}
    if route.etag:
        found["304"] = {"description": "The caller has it already"}
    return found


def _content(media_type: str, schema: str) -> JSONValue:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
