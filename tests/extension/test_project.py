"""A whole project plays through by its own scripts, and goes on by itself when the server is killed and restarted."""

from tests.extension.lab import address_of, scenario
from tests.extension.project import change, note, put


def game(address, name):
    """Everybody says hello to who comes, counts rounds with everybody, and shows what happens."""
    return [
        [
            ("event_whenflagclicked", {}),
            put("state", "connecting"),
            ("cloudlink_setReconnect", {"BOOL": "Enable"}),
            ("cloudlink_setPace", {"RATE": 50}),
            ("cloudlink_openSocket", {"IP": address}),
        ],
        [
            ("cloudlink_onConnect", {}),
            ("cloudlink_setMyName", {"NAME": name}),
            ("control_wait_until", {"CONDITION": ("cloudlink_getUsernameState", {})}),
            ("cloudlink_linkToRooms", {"ROOMS": "arena"}),
            ("control_wait_until", {"CONDITION": ("cloudlink_getRoomState", {})}),
            put("state", "playing"),
        ],
        [("cloudlink_whenConnectionLost", {}), put("state", "one moment")],
        [("cloudlink_whenConnectionBack", {}), put("state", "playing"), change("returns")],
        [
            ("cloudlink_whenuserconnects", {}),
            ("control_wait_until", {"CONDITION": ("cloudlink_getRoomState", {})}),
            (
                "cloudlink_sendPData",
                {
                    "DATA": ("operator_join", {"STRING1": "hello from ", "STRING2": name}),
                    "ID": ("cloudlink_recentlyjoined", {}),
                },
            ),
        ],
        [
            ("cloudlink_onNewPacket", {"TYPE": "Private data"}),
            note("said", ("cloudlink_returnPrivateData", {})),
        ],
        [
            ("event_whenbroadcastreceived", {"BROADCAST_OPTION": "round"}),
            (
                "cloudlink_sendGDataAsVar",
                {
                    "VAR": "round",
                    "DATA": (
                        "operator_add",
                        {
                            "NUM1": ("cloudlink_returnVarData", {"TYPE": "Global variables", "VAR": "round"}),
                            "NUM2": 1,
                        },
                    ),
                },
            ),
        ],
        [
            ("cloudlink_onNewVar", {"TYPE": "Global variables", "VAR": "round"}),
            put("round", ("cloudlink_returnVarData", {"TYPE": "Global variables", "VAR": "round"})),
            put("players", ("cloudlink_countUsers", {"ROOM": "arena"})),
        ],
    ]


CONTENTS = {"variables": ("state", "returns", "round", "players"), "lists": ("said",)}


@scenario
async def test_a_game_of_two_goes_on_after_the_server_was_killed(lab):
    async with lab.another_server() as server:
        alice, bob = await lab.users(2)
        await alice.load(game(address_of(server), "alice"), **CONTENTS)
        await alice.variable("state", "playing")
        await bob.load(game(address_of(server), "bob"), **CONTENTS)
        await bob.variable("state", "playing")
        await bob.variable("said", ["hello from alice"])
        for count, user in enumerate((alice, bob, alice), 1):
            await user.broadcast("round")
            for each in (alice, bob):
                await each.variable("round", str(count))
                await each.variable("players", 2)

        await server.kill()
        for user in (alice, bob):
            await user.variable("state", "one moment")
            await user.evaluate("hurry(10)")
        await alice.broadcast("round")  # waits until the server is back
        await server.start()
        for user in (alice, bob):
            await user.variable("state", "playing")
            await user.variable("returns", 1)
            await user.until(2, "countUsers", ROOM="arena")
        # Whoever was back first may have counted a round that the other one has missed.
        await alice.variable("round", "4")
        await alice.broadcast("round")
        for user in (alice, bob):
            await user.variable("round", "5")
            await user.variable("players", 2)
        assert [user.page.console for user in (alice, bob)] == [[], []]
