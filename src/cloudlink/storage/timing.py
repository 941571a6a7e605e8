"""How long a store waits for what. A server uses the defaults; tests of the store use shorter times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Times in seconds.

    Attributes:
        gather_for: From the first waiting value to the commit; what comes in between is written with it.
        look_every: Between looks for changes that others made.
        patience: How long the writing thread waits for another program that writes.
        patience_of_server: The same for reading on the server's thread; reading hardly ever waits.
        patience_at_end: How long the last values are tried to be written when the store is closed.
        first_pause: After the first failure, before the next attempt; doubled after each further one.
        longest_pause: The longest such pause.
    """

    gather_for: float = 0.25
    look_every: float = 1.0
    patience: float = 1.0
    patience_of_server: float = 0.05
    patience_at_end: float = 3.0
    first_pause: float = 1.0
    longest_pause: float = 30.0
