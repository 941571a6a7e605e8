"""What the administration does in slices, done at once."""

from __future__ import annotations

from cloudlink.slices import finish


def add_ban(sanctions, actor, target, **params):
    """Ban as `Sanctions.adding_ban` does, and return the outcome."""
    return finish(sanctions.adding_ban(actor, target, **params))


def list_mutes(sanctions, actor, **params):
    """Return the list of `Sanctions.listing_mutes`."""
    return finish(sanctions.listing_mutes(actor, **params))
