"""Clients, servers and fakes that the tests share, one kind a module.

| module | what it is for |
|---|---|
| `memoryclients` | clients without a socket, of any era: the quickest way to test rules |
| `rawclients` | clients that write bytes to a socket: framing, HTTP, what no library would send |
| `socketclient` | a correct WebSocket client that keeps the order of all frames |
| `servers` | the real server: in memory, at a free port, or restarted at the same port |
| `fakeservers` | servers that a test scripts: misbehaviour that clients must survive |
| `process` | the real server in its own process: signals, exit statuses, output |
| `lastingserver`, `ports` | the same, killed and started again at the same port |
| `nodes`, `natsserver` | servers of several processes, and clients at a chosen one of them; NATS |
| `pairs` | two workers, and two nodes, that can be killed, stopped and started again |
| `visitors` | clients at a chosen process, which keep all packets and wait for some |
| `scenarios`, `scenario_play`, `scenario_drivers` | the text files in `tests/scenarios`: parser, comparison, connection |
| `eras` | the first messages of a client of each era |
| `clock`, `certificates`, `strategies` | a clock that tests move, TLS files, Hypothesis strategies |

A helper that only one folder of tests uses belongs in that folder.
"""
