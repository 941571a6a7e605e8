"""Chooses what to evict from a full project: something of an address that holds more than half of it.

These functions only choose; `projects` acts. A single address can fill a project. When a client of another
address needs space, the newest clients or variables of the larger holder are removed, until each has half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.client import Client

    from .cloudroom import CloudRoom


def client_to_evict(room: CloudRoom, newcomer: str | None, most: float) -> Client | None:
    """Return the client to disconnect for a newcomer from an address, None if there is none.

    Args:
        room: A project with the maximum number of clients.
        newcomer: The address, None for no particular one.
        most: The maximum number of clients.
    """
    held = Shares()
    for address in room.seats.values():
        held.add(address, 1)
    largest = _largest(held, newcomer, 1, most)
    return next((client for client in reversed(room.seats) if room.seats[client] == largest), None)


def variables_to_evict(
    room: CloudRoom, name: str, writer: str | None, needed: float, most: float, size: Callable[[str], int]
) -> list[str]:
    """Return the names of the variables to delete for one that is new or has become longer.

    Args:
        room: The project.
        name: The variable.
        writer: The address that sets it, None for no particular one.
        needed: The space that it needs, in the unit of `size`.
        most: The maximum for the project, in the unit of `size`.
        size: Returns the space that an existing variable takes.

    Returns:
        The newest variables of the largest holder; none if they would not suffice.
    """
    held, total = Shares(), 0
    for other, address in room.writers.items():
        total += size(other)
        held.add(address, size(other))
    largest = _largest(held, writer, needed, most)
    excess, left, chosen = total + needed - most, held.of(largest), []
    for other in reversed(list(room.variables)):
        if excess <= 0 or 2 * left <= most:
            break
        if room.writers[other] == largest and other != name:
            chosen.append(other)
            excess -= size(other)
            left -= size(other)
    return chosen if excess <= 0 else []


def _largest(held: Shares, newcomer: str | None, needed: float, most: float) -> str | None:
    """Return the address that holds more than half, unless the newcomer would itself hold more than half."""
    largest, amount = held.largest()
    if 2 * amount <= most or 2 * (held.of(newcomer) + needed) > most:
        return None
    return largest
