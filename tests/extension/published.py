"""The interface of the published CloudLink extensions, which stands in saved projects and may never change.

One line a block: its shape, its opcode, and its arguments. `#` marks a number, `menu:name` a field with a menu of that
name; everything else is a text.
"""

from __future__ import annotations

from dataclasses import dataclass

BLOCKS = """
    reporter returnGlobalData
    reporter returnPrivateData
    reporter returnDirectData
    reporter returnStatusCode
    reporter returnVarData TYPE=menu:varmenu VAR
    reporter returnListenerData ID
    reporter returnLinkData
    reporter returnUserListData
    reporter returnUsernameDataNew
    reporter returnUsernameData
    reporter returnUserObject
    reporter returnVersionData
    reporter returnServerVersion
    reporter returnServerList
    reporter returnMOTD
    reporter returnClientIP
    reporter recentlyjoined
    reporter recentlyleft
    Boolean getComState
    Boolean getRoomState
    Boolean getComLostConnectionState
    Boolean getComFailedConnectionState
    Boolean getUsernameState
    Boolean returnIsNewData TYPE=menu:datamenu
    Boolean returnIsNewVarData TYPE=menu:varmenu VAR
    Boolean returnIsNewListener ID
    Boolean checkForID ID
    Boolean newPacketsExist TYPE=menu:allmenu
    Boolean isValidJSON JSON_STRING
    command openSocket IP
    command openSocketPublicServers ID=#
    command closeSocket
    command setMyName NAME
    command createListener ID
    command linkToRooms ROOMS
    command selectRoomsInNextPacket ROOMS
    command unlinkFromRooms
    command sendGData DATA
    command sendPData DATA ID
    command sendGDataAsVar DATA VAR
    command sendPDataAsVar DATA ID VAR
    command runCMDnoID CMD DATA
    command runCMD CMD ID DATA
    command resetNewData TYPE=menu:datamenu
    command resetNewVarData TYPE=menu:varmenu VAR
    command resetNewListener ID
    command clearAllPackets TYPE=menu:allmenu
    reporter getNextPacket TYPE=menu:allmenu
    reporter getAndClearPacketQueue TYPE=menu:allmenu
    reporter readQueueSize TYPE=menu:allmenu
    reporter readQueueData TYPE=menu:allmenu
    reporter parseJSON PATH JSON_STRING
    reporter getFromJSONArray NUM=# ARRAY
    reporter makeJSON toBeJSONified
    reporter fetchURL url
    reporter requestURL method url data headers
    command changeLogToConsole BOOL=menu:boolmenu
    command changeIPFetcher url=menu:ipfetchers
    event onConnect
    event onClose
    hat onListener ID
    hat onNewPacket TYPE=menu:almostallmenu
    hat onNewVar TYPE=menu:varmenu VAR
    event whenuserconnects
    event whenuserdisconnects
"""

# What the published extensions never had. Once released, it is as fixed as the rest.
NEW_BLOCKS = """
    event whenConnectionLost
    event whenConnectionBack
    command setReconnect BOOL=menu:boolmenu
    command sendGDataToOthers DATA
    command sendGDataAsVarToOthers DATA VAR
    command setPace RATE=#
    reporter returnPreviousVarData TYPE=menu:varmenu VAR
    reporter countUsers ROOM
    reporter roundTripTime
    event whenKicked
    event whenBanned
    event whenMuted
    reporter sanctionReason
    Boolean mayModerate
    command kickUser ID REASON
    command muteUser ID SECONDS=# REASON
    command lockRoom ROOM BOOL=menu:boolmenu
    command quietRoom ROOM BOOL=menu:boolmenu
"""

DATA = ["Global data", "Private data", "Direct data", "Status code"]
VARIABLES = ["Global variables", "Private variables"]
MENUS = {
    "datamenu": DATA,
    "varmenu": VARIABLES,
    "almostallmenu": DATA + VARIABLES,
    "allmenu": [*DATA, *VARIABLES, "All data"],
    "boolmenu": ["Enable", "Disable"],
    "ipfetchers": ["Default", "Meower"],
}


@dataclass(frozen=True)
class Argument:
    """One argument: its name, its type, and the menu it is a field of."""

    name: str
    type: str = "string"
    menu: str | None = None


def table(text: str) -> dict[str, tuple[str, set[Argument]]]:
    """The blocks by their opcodes: the shape and the arguments, in no order."""
    found = {}
    for line in text.split("\n"):
        if words := line.split():
            shape, opcode, *arguments = words
            found[opcode] = shape, {_argument(word) for word in arguments}
    return found


def _argument(word: str) -> Argument:
    name, _, kind = word.partition("=")
    if kind == "#":
        return Argument(name, "number")
    return Argument(name, menu=kind.removeprefix("menu:") or None)
