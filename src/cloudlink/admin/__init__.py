"""Administration of a server: bans, mutes, rules of rooms, modes, word filters, the audit, and their file.

The package acts on a server only through the `Host` interfaces that it declares; `cloudlink.server` implements them.
"""
