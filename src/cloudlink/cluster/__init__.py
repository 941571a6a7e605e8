"""Several processes or machines that are one server to their users: the protocol between them.

The modules are pure: no event loop, no sockets; time and randomness are passed in. `carriers` describes what moves
their batches.
"""
