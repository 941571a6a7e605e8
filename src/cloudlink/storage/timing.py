"""Intervals and time-outs of a store. A server uses the defaults; tests of the store use shorter times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Times in seconds.

    Attributes:
        gather_for: From the first waiting value to the commit; values that arrive in between are written with it.
        look_every: Between looks for changes that others made.
        patience: How long the writing thread waits while another program writes.
        patience_of_server: The same for reading on the server's thread, which rarely has to wait.
        patience_at_end: How long closing the store tries to write the last values.
        first_pause: Between the first failure and the next attempt; doubled after each further failure.
        longest_pause: The longest such pause.
    """

    gather_for: float = 0.4
    look_every: float = 1.0
    patience: float = 1.0
    patience_of_server: float = 0.05
    patience_at_end: float = 3.0
    first_pause: float = 1.0
    longest_pause: float = 30.0
