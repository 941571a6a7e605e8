"""Who makes way in a project that is full: an address that has more than half of it.

Pure: these functions choose, `projects` acts. An address alone in a project can fill it. Once somebody from another
address wants in, what the larger holder took last makes way, until each has half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.clients import Client

    from .cloudroom import CloudRoom


def seat(room: CloudRoom, newcomer: str | None, most: float) -> Client | None:
    """Return the client that makes way for somebody from an address, None if nobody does.

    Args:
        room: A project with as many clients as it may have.
        newcomer: The address, None for nobody in particular.
        most: How many clients it may have.
    """
    held = Shares()
    for address in room.seats.values():
        held.add(address, 1)
    largest = _largest(held, newcomer, 1, most)
    return next((client for client in reversed(room.seats) if room.seats[client] == largest), None)


def variables(
    room: CloudRoom, name: str, writer: str | None, needed: float, most: float, size: Callable[[str], int]
) -> list[str]:
    """Return the names of the variables that make way for one that is new or has become longer.

    Args:
        room: The project.
        name: The variable.
        writer: The address that sets it, None for nobody in particular.
        needed: How much it needs.
        most: How much there may be in the project, as `size` counts.
        size: Returns how much a variable that exists takes.

    Returns:
        The newest ones of the largest holder; none if they would not do.
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
    """Return the address with more than half, unless the newcomer would have more than half itself."""
    largest, amount = held.largest()
    if 2 * amount <= most or 2 * (held.of(newcomer) + needed) > most:
        return None
    return largest
