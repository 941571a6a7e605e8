"""The benchmark: CloudLink compared with the alternatives that a user would choose, in one run on one machine.

`python -m bench` sets up the other servers in `bench/.env/`, measures, prints a table, and on request writes
JSON and charts. It is a tool of this repository: it is not part of the package, and the server never imports it.
All load stays on 127.0.0.1.
"""
