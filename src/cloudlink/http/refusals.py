"""Responses that come from the server itself instead of a handler, in plain words."""

from __future__ import annotations

from http import HTTPStatus

from .response import Response, refusal


def too_large() -> Response:
    """Refuse a request whose head is too long."""
    text = "The headers of this request are too long. In a browser, delete the cookies of this address."
    return refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)


def forbidden_origin(origin: str) -> Response:
    """Refuse a page whose origin is not allowed."""
    text = f"Pages of {origin or 'no origin'} may not connect here. The host can allow them: allowed_origins."
    return refusal(HTTPStatus.FORBIDDEN, text)


def too_many(why: str) -> Response:
    """Refuse a connection or a page because its address has too many or requests them too fast."""
    text = f"Too many connections come from your address: {why}. Try again later."
    return refusal(HTTPStatus.TOO_MANY_REQUESTS, text)


def banned() -> Response:
    """Refuse a connection from an address that is banned and connects again and again."""
    return refusal(HTTPStatus.FORBIDDEN, "You are banned from this server.")


def stopping() -> Response:
    """Refuse a request that arrives while the server stops."""
    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "This server is shutting down.")


def failed() -> Response:
    """Answer a request that this server failed to answer."""
    return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "This server made a mistake.")


def overdue(seconds: float) -> Response:
    """Answer a request whose handler takes too long."""
    text = f"This server did not find an answer within {seconds:g} seconds."
    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, text)
