"""Bots written with the Python libraries for cloud variables. Started by the Python of their environment, never by ours.

Arguments: the bot, the project's id and the address of the server. The bot obeys the lines of its input, each a list in
JSON: the name of a command and its arguments. It prints lines of the same kind: `["current", {name: value}]` for the
values it was given on joining, `["set", name, value]` for each update. Some libraries take the cloud off the names.
The bot ends with its input.
"""

# ruff: noqa: PLC0415  # each library is loaded by its own bots alone; what is printed is the report

import json
import os
import sys
import threading
from types import SimpleNamespace

USER = "bot"


def say(event, *details):
    # In one piece: libraries call from several threads, and `print` writes the end of a line by itself.
    sys.stdout.write(json.dumps([event, *details]) + "\n")
    sys.stdout.flush()


def scratchattach(project, address):
    """Reads the library's event stream, the layer that gives everything as it comes, current values included.

    `get_var` of 2.2.6 finds nothing on any cloud but Scratch's: it asks for the name with a cloud and has it without.
    """
    from scratchattach import CustomCloud

    cloud = CustomCloud(project_id=project, cloud_host=address, username=USER)
    stream = CustomCloud(project_id=project, cloud_host=address, username=USER).create_event_stream()

    def read():
        while True:
            for update in stream.read():
                say(update["method"], update["name"], update["value"])

    threading.Thread(target=read).start()
    return {"set": cloud.set_var, "set_vars": cloud.set_vars}


def scratchattach_events(project, address):
    """Uses the layers above: events, and `get_all_vars`. Both drop what comes in their first half second."""
    from scratchattach import CustomCloud

    cloud = CustomCloud(project_id=project, cloud_host=address, username=USER)
    reader = CustomCloud(project_id=project, cloud_host=address, username=USER)
    told, read = threading.Event(), threading.Event()
    events = cloud.events()

    @events.event
    def on_set(activity):
        if not told.is_set():
            say("set", activity.var, activity.value)
        told.set()

    def get_all_vars():
        say("current", reader.get_all_vars())
        read.set()

    def set_until_read(name, value):
        threading.Thread(target=get_all_vars).start()
        while not (told.is_set() and read.is_set()):
            cloud.set_var(name, value)  # waits by itself, so as not to be too fast

    events.start()
    return {"set_until_read": set_until_read}


def scratchclient(project, address):
    """Speaks only TLS, and does not look at the certificate."""
    from scratchclient import ScratchSession

    host = address.removeprefix("wss://").removesuffix("/")
    cloud = ScratchSession(USER).create_cloud_connection(project, cloud_host=host)
    cloud.on("set", lambda variable: say("set", variable.name, variable.value))
    say("current", {variable.name: variable.value for variable in cloud._cloudvariables})
    return {"set": cloud.set_cloud_variable}


def scratchcloudclient(project, address):
    """Knows only Scratch's own server and gives it a cookie: the address is changed, the cookie left out."""
    cloud = _redirected(address, keep_cookie=False)(project, SimpleNamespace(username=USER, session_id="x"))
    say("current", cloud.variables)
    known = dict(cloud.variables)

    def updated(cloud):
        for name, value in cloud.variables.items():
            if known.get(name) != value:
                known[name] = value
                say("set", name, value)

    cloud.on_cloud_update(updated)
    return {"set": cloud.set_variable}


def scratchcloudclient_with_cookie(project, address):
    """The same, giving us the cookie that only Scratch should see."""
    cloud = object.__new__(_redirected(address, keep_cookie=True))
    try:
        cloud.__init__(project, SimpleNamespace(username=USER, session_id="x"))
    except json.JSONDecodeError as error:
        _, close = cloud.ws.recv_data()
        say("refused", error.doc, int.from_bytes(close[:2], "big"))
    return {}


def _redirected(address, *, keep_cookie):
    """scratchcloudclient's connection, with another server's address."""
    from scratchcloudclient.CloudConnection import CloudConnection

    class Redirected(CloudConnection):
        def connect(self):
            connect = self.ws.connect
            self.ws.connect = lambda _address, cookie, origin: connect(
                address, cookie=cookie if keep_cookie else None, origin=origin
            )
            super().connect()

    return Redirected


if __name__ == "__main__":
    bot, *place = sys.argv[1:]
    commands = globals()[bot](*place)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        commands[command](*arguments)
    os._exit(0)  # the threads of the libraries would stay
