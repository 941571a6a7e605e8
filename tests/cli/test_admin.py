"""`cloudlink admin`, as a host types it: against a server that runs, and on the file alone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import stat
import threading
from base64 import b64encode
from concurrent.futures import Future
from pathlib import Path

import pytest

from cloudlink.admin import passwords
from cloudlink.admin.hashing import HashingThread
from cloudlink.admin.store import AdminStore
from cloudlink.cli import admin as admin_command
from cloudlink.cli import adminreach, main
from cloudlink.cli.durations import in_words, seconds_of
from cloudlink.errors import StartError
from cloudlink.settings import Settings
from tests.support.certificates import Certificates
from tests.support.rawclients import connect
from tests.support.servers import build

PASSWORD = "four words are fine"
KEY = Path("cloudlink-admin.key")

pytestmark = pytest.mark.usefixtures("empty_folder", "quick_hashes")

HASH_OF = passwords.hash_of


def quick_hash_of(password):
    """A hash as servers take it, but for a thousandth of the work."""
    key = hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=8, p=5, dklen=32)
    return f"scrypt:2:8:5:{b64encode(b'salt').decode()}:{b64encode(key).decode()}"


@pytest.fixture
def quick_hashes(monkeypatch):
    monkeypatch.setattr(passwords, "hash_of", quick_hash_of)


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self):
        return True


class ServerThread:
    """A server in a thread of its own; `call` runs a coroutine there."""

    def __init__(self, **settings):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = build({"admin_storage": "cloudlink-admin.db", **settings})
        self.call(self.server.start("127.0.0.1", 0))
        self.peers = []

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def join(self, name):
        """Connect a player of that name."""

        async def join():
            peer = await connect(self.server.port)
            peer.send('{"cmd":"handshake"}', json.dumps({"cmd": "setid", "val": name}))
            while (
                b'"I:100' not in (await peer.receive())[1]
                or name not in self.server.clients_manager.usernames
            ):
                pass
            return peer

        self.peers.append(self.call(join()))
        return self.peers[-1]

    def stop(self):
        async def leave():
            for peer in self.peers:
                peer.leave()
            await self.server.stop()
            await asyncio.sleep(0)

        self.call(leave())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def start():
    """Starts a server; it stops with the test."""
    started = []

    def start(**settings):
        started.append(ServerThread(**settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs `cloudlink admin` and returns its status, output and error output."""

    def run(*words, typed=f"{PASSWORD}\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed) if isinstance(typed, str) else typed)
        status = main(["admin", *words])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def said(run):
    """Runs what must succeed, and returns its output."""

    def said(*words, **options):
        status, out, err = run(*words, **options)
        assert (status, err) == (0, "")
        return out

    return said


@pytest.fixture
def answered(said):
    """Runs what must succeed with `--json`, and returns the answer."""
    return lambda *words, **options: json.loads(said(*words, "--json", **options))


@pytest.fixture
def refused(run):
    """Runs what must be refused, and returns its sentence."""

    def refused(*words, status=1, **options):
        found, out, err = run(*words, **options)
        assert (found, out, err.count("\n")) == (status, "", 1)
        return err.removeprefix("cloudlink: ").rstrip("\n")

    return refused


# Against a server that runs.


def test_the_first_account_by_a_link(start, said, answered, refused):
    port = start().server.port
    link = said("link").splitlines()[0]
    assert link.startswith(f"http://127.0.0.1:{port}/admin#setup=")
    assert answered("link")["link"] != link
    assert said("accounts").startswith("There is no account yet")
    assert said("add", "Mia", "--role", "owner") == "Added mia as owner.\n"
    assert "there is an account already" in refused("link").lower()


def test_accounts(start, said, answered, refused):
    start()
    assert answered("add", "mia", "--role", "owner")["account"]["role"] == "owner"
    assert said("add", "tom") == "Added tom as moderator.\n"
    assert [one["name"] for one in answered("accounts")["items"]] == ["mia", "tom"]
    assert said("accounts").splitlines()[1].split()[:2] == ["tom", "moderator"]
    assert "has a new password" in said("password", "tom", typed="and four others too\n")
    assert answered("password", "tom")["account"]["name"] == "tom"
    assert said("unlock", "tom") == "It can log in again.\n"
    assert answered("unlock", "tom") == {}
    assert said("remove", "tom") == "Removed tom.\n"
    answered("add", "tom")
    assert answered("remove", "tom")["account"]["name"] == "tom"
    assert refused("remove", "mia") == "mia is the last owner: make another account an owner first."
    assert "There is no account eve" in refused("password", "eve")
    assert "at least 15 characters" in refused("add", "eve", typed="short\n")


def test_the_state_of_the_server(start, said, answered):
    server = start()
    server.join("bob")
    assert "clients   1" in said("status").splitlines()
    assert answered("status")["clients"] == 1
    assert " bob " in said("clients")
    (client,) = answered("clients")["items"]
    assert (client["name"], client["protocol"], client["address"]) == ("bob", "cl4", "127.0.0.1")
    assert answered("clients", "zz")["items"] == []
    assert said("clients", "zz") == "Nobody is connected.\n"
    assert said("rooms").split()[:3] == ["default", "1", "client"]
    assert answered("rooms")["items"][0]["clients"] == 1


def test_kicking(start, said, answered, refused):
    server = start()
    one, two, three = (server.join("bob") for _ in range(3))
    assert "3 clients" in refused("kick", "bob")
    client_id = answered("clients")["items"][0]["id"]
    assert said("kick", client_id, "--reason", "spam") == "Disconnected 1 client.\n"
    assert server.call(one.receive_close()) == (4004, "You were kicked: spam")
    assert answered("kick", "bob", "--all")["kicked"] == 2
    assert server.call(two.receive_close())[0] == server.call(three.receive_close())[0] == 4004
    refused("kick", "bob")
    refused("kick", "5")


def test_bans(start, said, answered, refused):
    start()
    assert said("bans") == "There are no bans.\n"
    assert said("ban", "bob", "--for", "2h", "--reason", "spam").startswith("Ban 1: name bob, until ")
    ban = answered("ban", "203.0.113.7", "--for", "ever")["ban"]
    assert (ban["kind"], ban["until"], ban["by"]) == ("address", None, "console")
    assert answered("ban", "203.0.112.0/23")["ban"]["value"] == "203.0.112.0/23"
    assert "force" in refused("ban", "203.0.0.0/8")
    said("ban", "198.0.0.0/15", "--force")
    assert [line.split()[0] for line in said("bans").splitlines()] == ["4", "3", "2", "1"]
    assert len(answered("bans")["items"]) == 4
    assert said("unban", "1") == "Removed 1 ban.\n"
    assert answered("unban", "2")["removed"] == 1
    assert answered("unban", "--by", "console", "--since", "1h")["removed"] == 2
    assert "Say which ban" in refused("unban")
    assert "this machine" in refused("ban", "127.0.0.1")
    assert "not a duration" in refused("ban", "bob", "--for", "long")


def test_mutes(start, said, answered, refused):
    start()
    assert said("mute", "bob").startswith("Mute 1: name bob, until ")
    assert answered("mute", "name:x:y", "--hidden", "--for", "90")["mute"]["hidden"]
    assert [line.split()[0] for line in said("mutes").splitlines()] == ["2", "1"]
    assert len(answered("mutes")["items"]) == 2
    assert said("unmute", "1") == "Removed the mute.\n"
    assert answered("unmute", "2")["removed"] == 1
    refused("unmute", "2")
    assert said("mutes") == "There are no mutes.\n"


def test_all_pages_of_mutes_are_listed(start, answered):
    server = start()

    async def mute():
        for number in range(201):
            server.server.admin.mute(f"player {number}", 60)

    server.call(mute())
    assert [item["id"] for item in answered("mutes")["items"]] == list(range(201, 0, -1))


def test_announcements_and_modes(start, said, answered):
    server = start()
    server.join("bob")
    assert said("say", "Hello", "--as", "gmsg") == "Sent to 1 client.\n"
    assert answered("say", "Hello", "--room", "nowhere")["sent"] == 0
    assert said("mode", "closed", "--message", "Full") == "The server is closed now.\n"
    assert answered("mode", "open")["mode"] == "open"
    assert said("drain", "1h").startswith("Everybody is disconnected from ")
    assert answered("drain", "2h", "--message", "Bye")["mode"] == "draining"
    assert said("mode", "open") == "The server is open now.\n"


def test_reading_the_settings_again(start, said, answered):
    start()
    assert said("reload") == "Nothing has changed.\n"
    assert answered("reload") == {"changed": {}, "needs_restart": []}


def test_the_audit(start, said, answered):
    start()
    said("mute", "bob", "--reason", "spam")
    assert "console (cli)  mutes.add  name:bob  ok" in said("audit")
    assert said("audit").rstrip().endswith(": spam")
    said("mode", "guarded")
    assert [row["method"] for row in answered("audit", "--limit", "1")["items"]] == ["server.mode"]


def test_a_list_of_many_pages_waits_where_the_server_throttles(start):
    start()
    with adminreach.reach(Settings(admin_storage="cloudlink-admin.db"), None) as running:
        assert [running.ask("me")["role"] for _ in range(63)] == ["owner"] * 63  # 60 at once


def test_processes_that_did_not_answer_for_any_page_are_named(monkeypatch, run):
    class Reach:
        pages = iter(
            (
                {"items": [], "next": "1", "missing": ["n-3"], "processes": 3},
                {"items": [], "next": "2", "missing": ["n-2"], "processes": 3},
                {"items": [], "next": None},
            )
        )

        def ask(self, _method, **_params):
            return next(self.pages)

    monkeypatch.setattr(admin_command, "reach", lambda *_: contextlib.nullcontext(Reach()))
    status, out, err = run("clients", "--json")
    assert (status, err) == (0, "")
    found = {"items": [], "next": None, "missing": ["n-2", "n-3"], "processes": 3}
    assert json.loads(out) == found


def test_bans_move_to_another_server(start, said, answered, refused, tmp_path):
    start()
    for number in range(3):
        said("ban", f"name{number}")
    assert said("export", "--output", "bans.json") == "Wrote 3 bans to bans.json.\n"
    assert answered("export", "--output", "again.json") == {"file": "again.json", "count": 3}
    assert json.loads(said("export")) == answered("export") == json.loads(Path("bans.json").read_text())
    said("unban", "--by", "console", "--since", "1h")
    assert said("import", "bans.json", "--dry-run") == "Added 3 bans.\n"
    assert said("bans") == "There are no bans.\n"
    assert answered("import", "bans.json")["added"] == 3
    assert said("import", "-", typed='{"items": [{"kind": "x"}]}').startswith("Number 1 is left out: ")
    Path("odd.json").write_text('{"items": 5}')
    assert refused("import", "odd.json") == "odd.json is not a file that `cloudlink admin export` wrote."
    assert "cannot be read" in refused("import", "missing.json")
    assert "cannot be written" in refused("export", "--output", "no/such/folder")


def test_a_copy_of_the_file(start, said, answered, refused):
    start()
    assert "There is no file to copy" in refused("backup", "copy.db")
    said("ban", "bob")
    assert said("backup", "copy.db").startswith("Copied to copy.db (")
    assert stat.S_IMODE(Path("copy.db").stat().st_mode) == 0o600
    assert answered("backup", "other.db")["file"] == "other.db"
    assert "exists already" in refused("backup", "copy.db")
    assert "cannot be copied" in refused("backup", "no/such/folder")
    store = AdminStore("copy.db")
    store.open()
    assert [key for key, _ in store.records("ban")] == ["name:bob"]
    store.close()


def test_names_of_strangers_cannot_control_the_terminal(start, said):
    start().join("a\x1b[31m\u202eb")
    assert "\x1b" not in said("clients")
    assert "a\\x1b[31m\\u202eb" in said("clients")


# The key file.


def test_the_key_file_is_private_new_at_each_start_and_gone_at_the_end(start):
    first = start()
    assert stat.S_IMODE(KEY.stat().st_mode) == 0o600
    key = json.loads(KEY.read_text())
    assert key["url"] == f"ws://127.0.0.1:{first.server.port}/admin/ws"
    second = start()
    assert json.loads(KEY.read_text())["key"] != key["key"]
    first.call(first.server.stop())
    assert KEY.exists()  # it is that of the second
    second.call(second.server.stop())
    assert not KEY.exists()


def test_another_key_file(start, said, refused):
    start()
    KEY.rename("elsewhere.key")
    assert said("status", "--key", "elsewhere.key")
    assert refused("status", status=3).startswith("No server runs here")
    assert "There is no key file missing.key" in refused("status", "--key", "missing.key", status=3)
    Path("odd.key").write_text("[]")
    assert refused("status", "--key", "odd.key") == "odd.key is not a key file of a CloudLink server."
    Path("odd.key").unlink()
    Path("odd.key").mkdir()
    assert "cannot be read" in refused("status", "--key", "odd.key")


def test_a_wrong_key_is_refused(start, refused):
    start()
    key = json.loads(KEY.read_text())
    KEY.write_text(json.dumps({**key, "key": "x"}))
    assert "does not accept the key in cloudlink-admin.key" in refused("status")


def test_a_key_file_that_cannot_be_written_gives_a_warning(start, caplog):
    KEY.mkdir()
    start()
    assert "The terminal (`cloudlink admin`) cannot reach this server" in caplog.text


def test_the_terminal_works_even_if_the_administration_is_off(start, said, refused):
    start(admin="off")
    assert "open" in said("status")
    assert "The setting admin is off" in refused("link")


def test_over_tls_exactly_the_certificate_of_the_server_is_trusted(
    start, said, refused, tmp_path, tmp_path_factory
):
    own, other = Certificates(tmp_path), Certificates(tmp_path_factory.mktemp("other"))
    own.issue("games.example.org")
    server = start(tls_certificate=str(own.certificate), tls_key=str(own.key))
    assert json.loads(KEY.read_text())["url"] == f"wss://127.0.0.1:{server.server.port}/admin/ws"
    assert "open" in said("status")
    KEY.write_text(json.dumps({**json.loads(KEY.read_text()), "certificate": str(other.certificate)}))
    assert "certificate" in refused("status").lower()
    KEY.write_text(json.dumps({**json.loads(KEY.read_text()), "certificate": "missing.pem"}))
    assert refused("status") == "The certificate missing.pem cannot be read: No such file or directory."


def test_a_server_that_does_not_answer(start, refused, monkeypatch):
    monkeypatch.setattr(adminreach, "_TIMEOUT", 0.05)
    monkeypatch.setattr(HashingThread, "hash", lambda *_: Future())
    start()
    assert refused("add", "mia") == "The server did not answer within 0.05 seconds."


# On the file alone.


def test_without_a_server_accounts_bans_mutes_and_the_audit_work_on_the_file(said, answered, refused):
    said("add", "mia", "--role", "owner")
    said("ban", "bob")
    said("mute", "carl")
    assert answered("accounts")["items"][0]["name"] == "mia"
    assert answered("bans")["items"][0]["value"] == "bob"
    assert answered("mutes")["items"][0]["value"] == "carl"
    assert [row["method"] for row in answered("audit")["items"]] == ["mutes.add", "bans.add", "accounts.add"]
    said("unban", "1")
    assert refused("remove", "mia") == "mia is the last owner: make another account an owner first."
    for words in (
        ("status",),
        ("kick", "bob"),
        ("mode", "open"),
        ("say", "x"),
        ("link",),
        ("reload",),
        ("clients",),
    ):
        assert refused(*words, status=3).startswith("No server runs here")


def test_no_server_as_json(run):
    status, out, err = run("status", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (3, "no_server")
    assert "No server runs here" in err


def test_without_a_file_nothing_works_alone(refused, monkeypatch):
    monkeypatch.setenv("CLOUDLINK_ADMIN_STORAGE", "")
    assert refused("accounts", status=3).startswith("No server runs here")


def test_a_key_file_that_was_left_behind(said, refused):
    KEY.write_text(json.dumps({"url": "ws://127.0.0.1:1/admin/ws", "key": "x"}))
    said("ban", "bob")
    assert refused("status", status=3).startswith("No server runs here")


def test_what_was_made_without_a_server_is_there_when_it_starts(start, said):
    said("add", "mia", "--role", "owner")
    said("ban", "bob")
    start()
    assert said("accounts").startswith("mia")
    assert " bob " in said("bans")


# The rest.


def test_refusals_as_json(start, run):
    start()
    status, out, err = run("unban", "5", "--json")
    assert (status, json.loads(out)["error"]["code"], err) == (1, "not_found", "")


def test_a_hash(said, answered, refused, monkeypatch):
    monkeypatch.setattr(passwords, "hash_of", HASH_OF)
    assert said("hash").startswith("scrypt:16384:8:5:")
    assert answered("hash")["hash"].startswith("scrypt:")
    assert "at least 15" in refused("hash", typed="short\n")


def test_passwords_are_typed_twice_in_a_terminal(said, refused, monkeypatch):
    typed = [PASSWORD, PASSWORD, PASSWORD, "another"]
    monkeypatch.setattr("getpass.getpass", lambda _: typed.pop(0))
    assert said("hash", typed=Terminal()).startswith("scrypt:")
    assert refused("hash", typed=Terminal()) == "The two passwords differ; nothing was changed."


def test_no_action(refused):
    assert refused().startswith("Say what to do, such as `cloudlink admin status`")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5m", 90), ("2H", 7200), ("7d", 604_800), ("2w", 1_209_600), ("0s", 0)],
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1y", "1 2", "1e9", "\u0661"])
def test_what_is_no_duration(text):
    with pytest.raises(StartError, match="is not a duration: write 90s"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (119, "119 seconds"), (900, "15 minutes"), (7200, "2 hours"), (172_800, "2 days")],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
