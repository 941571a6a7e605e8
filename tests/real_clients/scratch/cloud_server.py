"""Runs scratchattach's own cloud server. Started by the Python of its environment, never by ours.

Arguments: a port, and the values of projects as JSON, without the cloud of the names. Prints lines in JSON: `"listening"`,
then name and value of whatever a client sets. It ends with its input.
"""

import json
import os
import sys

from scratchattach import init_cloud_server

report = os.fdopen(os.dup(1), "w", buffering=1)
sys.stdout = sys.stderr  # the library prints what it does
server = init_cloud_server("127.0.0.1", int(sys.argv[1]), log_var_sets=False)
server.set_global_vars(json.loads(sys.argv[2]))


@server.event
def on_set(activity, _socket):
    """Report what a client has set."""
    report.write(json.dumps([activity.var, activity.value]) + "\n")


server.start(thread=True)
report.write('"listening"\n')
sys.stdin.read()
os._exit(0)  # the library's thread goes on otherwise
