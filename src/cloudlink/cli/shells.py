"""The completion scripts of the shells, made from the commands that `cloudlink.cli.completion` collects.

Every script finds the command before the cursor. It then offers values if the flag before the cursor takes one, flags if
the word begins with a dash, and otherwise the command's sub-commands or file names.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.cli.completion import Command, Flag


def bash(commands: list[Command]) -> str:
    """Return the script for bash, to be loaded with `source <(cloudlink completion bash)`."""
    places = "|".join(f'"{_place(command)}"' for command in commands if command.words)
    return _BASH.replace("@PLACES@", places).replace("@CASES@", "\n".join(map(_bash_case, commands)))


def zsh(commands: list[Command]) -> str:
    """Return the script for zsh: loaded with `source <(cloudlink completion zsh)`, or a file `_cloudlink` in `fpath`."""
    places = "|".join(f'"{_place(command)}"' for command in commands if command.words)
    return _ZSH.replace("@PLACES@", places).replace("@CASES@", "\n".join(map(_zsh_case, commands)))


def fish(commands: list[Command]) -> str:
    """Return the script for fish, to be loaded with `cloudlink completion fish | source`."""
    return _FISH + "".join(f"{line}\n" for command in commands for line in _fish_lines(command))


def powershell(commands: list[Command]) -> str:
    """Return the script for PowerShell: `cloudlink completion powershell | Out-String | Invoke-Expression`."""
    return _POWERSHELL.replace("@PLACES@", "\n".join(map(_powershell_place, commands)))


SCRIPTS: dict[str, Callable[[list[Command]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
    "powershell": powershell,
}


def _place(command: Command) -> str:
    return " ".join(command.words)


def _names(flags: Iterable[Flag]) -> list[str]:
    return [name for flag in flags for name in flag.names]


def _value_cases(command: Command, *, files: str, choices: str, nothing: str) -> list[str]:
    """Return the branches of a `case` over the word before the cursor, one for each kind of value.

    Args:
        command: The command with its flags.
        files: The shell code that offers file names.
        choices: The shell code that offers words; `{}` is replaced by the words.
        nothing: The shell code that offers nothing.
    """
    kinds: dict[str, list[str]] = {}
    for flag in command.flags:
        if flag.takes_value:
            offer = (
                choices.format(" ".join(flag.choices))
                if flag.choices
                else files
                if flag.takes_file
                else nothing
            )
            kinds.setdefault(offer, []).extend(flag.names)
    return [f"                {'|'.join(names)}) {offer} ;;" for offer, names in kinds.items()]


# bash.

_BASH = """\
# Completion of cloudlink for bash. Load it with: source <(cloudlink completion bash)
_cloudlink() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} place="" flags="" words="" files="" i
    COMPREPLY=()
    # bash splits --flag=value into three words.
    if [[ $cur == = ]]; then
        cur=""
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for (( i = 1; i < COMP_CWORD; i++ )); do
        case "${place:+$place }${COMP_WORDS[i]}" in
            @PLACES@) place="${place:+$place }${COMP_WORDS[i]}" ;;
        esac
    done
    case $place in
@CASES@
    esac
    if [[ $cur == -* && -n $flags ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
complete -F _cloudlink cloudlink
"""


def _bash_case(command: Command) -> str:
    values = _value_cases(
        command,
        files='flags="" files=yes',
        choices='flags="" words="{}"',
        nothing='flags="" words="" files=""',
    )
    lines = [
        f'        "{_place(command)}")',
        f'            flags="{" ".join(_names(command.flags))}"',
        f'            words="{" ".join(word for word, _ in command.next_words)}"',
        *(["            files=yes"] if command.takes_file else []),
        *(["            case $prev in", *values, "            esac"] if values else []),
        "            ;;",
    ]
    return "\n".join(lines)


# zsh.

_ZSH = """\
#compdef cloudlink
# Completion of cloudlink for zsh. Load it with: source <(cloudlink completion zsh)
_cloudlink() {
    local cur=$words[CURRENT] prev=$words[CURRENT-1] place="" word
    local -a flags following
    for word in ${words[2,CURRENT-1]}; do
        case "${place:+$place }$word" in
            @PLACES@) place="${place:+$place }$word" ;;
        esac
    done
    if [[ $cur == --*=* ]]; then
        prev=${cur%%=*}
        compset -P '*='
    fi
    case $place in
@CASES@
    esac
    if [[ $cur == -* ]]; then
        _describe -o flag flags
    elif (( $#following )); then
        _describe command following
    fi
}
if [[ $funcstack[1] == _cloudlink ]]; then
    _cloudlink "$@"
else
    compdef _cloudlink cloudlink
fi
"""


def _zsh_case(command: Command) -> str:
    values = _value_cases(command, files="_files; return", choices="compadd {}; return", nothing="return")
    flags = [_described(name, flag.help) for flag in command.flags for name in flag.names]
    following = [_described(word, meaning) for word, meaning in command.next_words]
    lines = [
        f'        "{_place(command)}")',
        *(["            case $prev in", *values, "            esac"] if values else []),
        *(["            [[ $cur == -* ]] || { _files; return }"] if command.takes_file else []),
        f"            flags=({' '.join(flags)})",
        f"            following=({' '.join(following)})",
        "            ;;",
    ]
    return "\n".join(lines)


def _described(word: str, meaning: str) -> str:
    return shlex.quote(f"{word}:{meaning}" if meaning else word)


# fish.

_FISH = """\
# Completion of cloudlink for fish. Load it with: cloudlink completion fish | source
function __cloudlink_at
    set -l place
    for word in (commandline -opc)[2..-1]
        if contains -- (string join ' ' -- $place $word) $__cloudlink_places
            set place $place $word
        end
    end
    test "$place" = "$argv"
end
complete -c cloudlink -f
set -g __cloudlink_places
"""


def _fish_lines(command: Command) -> list[str]:
    start = f"complete -c cloudlink -n {shlex.quote(f'__cloudlink_at {_place(command)}'.strip())}"
    lines = [f"set -a __cloudlink_places '{_place(command)}'"] if command.words else []
    for word, meaning in command.next_words:
        lines.append(f"{start} -a {word}" + (f" -d {_fish_text(meaning)}" if meaning else ""))
    if command.takes_file:
        lines.append(f"{start} -F")
    for flag in command.flags:
        names = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names
        )
        value = ""
        if flag.takes_value:
            value = " -r -F" if flag.takes_file else f" -x -a '{' '.join(flag.choices)}'"
        lines.append(f"{start} {names}{value} -d {_fish_text(flag.help)}")
    return lines


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# PowerShell.

_POWERSHELL = """\
# Completion of cloudlink for PowerShell. Load it with: cloudlink completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName cloudlink -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $places = @{}
@PLACES@
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    $place = ''
    foreach ($word in ($words | Select-Object -Skip 1)) {
        $longer = "$place $word".Trim()
        if ($places.ContainsKey($longer)) { $place = $longer }
    }
    $here = $places[$place]
    $before = if ($words.Count) { $words[-1] } else { '' }
    if ($here.Choices.ContainsKey($before)) {
        $offers = @{}
        foreach ($choice in $here.Choices[$before]) { $offers[$choice] = $choice }
        # Nothing returned: PowerShell offers the names of files.
    } elseif ($wordToComplete.StartsWith('-')) {
        $offers = $here.Flags
    } else {
        $offers = $here.Words
    }
    $offers.Keys | Where-Object { $_ -like "$wordToComplete*" } | Sort-Object | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $offers[$_])
    }
}
"""


def _powershell_place(command: Command) -> str:
    flags = {name: flag.help for flag in command.flags for name in flag.names}
    words = {word: meaning or word for word, meaning in command.next_words}
    values = "; ".join(
        f"{_powershell_text(name)} = @({', '.join(map(_powershell_text, flag.choices))})"
        for flag in command.flags
        if flag.takes_value
        for name in flag.names
    )
    return (
        f"    $places[{_powershell_text(_place(command))}] = @{{\n"
        f"        Flags = {_powershell_table(flags)}\n"
        f"        Words = {_powershell_table(words)}\n"
        f"        Choices = @{{{values}}}\n"
        f"    }}"
    )


def _powershell_table(texts: dict[str, str]) -> str:
    pairs = (f"{_powershell_text(name)} = {_powershell_text(text)}" for name, text in texts.items())
    return f"@{{{'; '.join(pairs)}}}"


def _powershell_text(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
