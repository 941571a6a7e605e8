"""Where settings come from, which wins, and what is said about a wrong one."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.errors import StartError
from cloudlink.settings import OPTIONS, TABLES, Settings
from cloudlink.sources import from_environment, load

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def write(folder, text, name="cloudlink.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sentence(**sources):
    """Return the sentence with which loading fails."""
    with pytest.raises(StartError) as caught:
        load(**{"toml": None, "environ": {}, "flags": {}} | sources)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults():
    settings = load(toml=None, environ={"PATH": "/bin"}, flags={})

    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert settings.max_message_size == 1024 * 1024
    assert set(settings.origins) == {*OPTIONS, *TABLES}
    assert settings.warnings == []
    assert set(settings.origins.values()) == {"default"}


def test_each_source_beats_the_one_before(tmp_path):
    toml = write(tmp_path, 'motd = "file"\nport = 1\nmax_clients = 1\n')
    environ = {"CLOUDLINK_PORT": "2", "CLOUDLINK_MAX_CLIENTS": "2"}

    settings = load(toml=toml, environ=environ, flags={"max_clients": "3"})

    assert (settings.motd, settings.port, settings.max_clients) == ("file", 2, 3)
    assert settings.origins["motd"] == str(toml)
    assert settings.origins["port"] == "environment CLOUDLINK_PORT"
    assert settings.origins["max_clients"] == "flag --max-clients"
    assert settings.origins["host"] == "default"


def test_code_beats_everything():
    settings = from_environment({"PORT": "4000"})
    settings.set("port", 5000)

    assert settings.port == 5000
    assert settings.origins["port"] == "code"


def test_constructor_arguments_are_checked_and_come_from_code():
    settings = Settings(port=0, keepalive_interval=5)

    assert (settings.origins["port"], settings.origins["host"]) == ("code", "default")
    assert type(settings.keepalive_interval) is float
    with pytest.raises(StartError, match="setting port given in code is 70000"):
        Settings(port=70000)


def test_lists_are_not_shared():
    first, second = Settings(), Settings()
    first.plugins.append("greet.py")

    assert second.plugins == []


def test_a_list_given_in_code_is_copied():
    given_list = ["greet.py"]
    settings = Settings()
    settings.set("plugins", given_list)
    given_list.append("later.py")

    assert settings.plugins == ["greet.py"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOST": "0.0.0.0", "PORT": "80"}, ("0.0.0.0", 80)),
        ({"HOST": "1.1.1.1", "CLOUDLINK_HOST": "::", "PORT": "x", "CLOUDLINK_PORT": " 81 "}, ("::", 81)),
        ({"HOST": "", "PORT": ""}, ("127.0.0.1", 3000)),
    ],
)
def test_host_and_port_of_the_environment(environ, expected):
    settings = from_environment(environ)

    assert (settings.host, settings.port) == expected


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE", " On "])
def test_words_for_true(word):
    assert from_environment({"CLOUDLINK_UNIQUE_USERNAMES": word}).unique_usernames is True


@pytest.mark.parametrize("word", ["false", "0", "no", "off"])
def test_words_for_false(word):
    assert from_environment({"CLOUDLINK_IMPLICIT_GREETING": word}).implicit_greeting is False


def test_lists_numbers_and_texts_of_the_environment():
    settings = from_environment(
        {
            "CLOUDLINK_PLUGINS": "greet.py, chat:Chat,",
            "CLOUDLINK_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "CLOUDLINK_WRITE_DELAY": " 2.5",
            "CLOUDLINK_DISABLED_COMMANDS": "",
            "CLOUDLINK_KEEPALIVE_INTERVAL": "2.5",
            "CLOUDLINK_MOTD": " Hello, world! ",
        }
    )

    assert settings.plugins == ["greet.py", "chat:Chat"]
    assert settings.trusted_proxies == ["10.0.0.0/8", "::1"]
    assert settings.disabled_commands == []
    assert settings.keepalive_interval == 2.5
    assert settings.motd == " Hello, world! "
    assert settings.write_delay == 2.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'port = "3000"',
            'port in {file} is "3000", but it must be a whole number from 0 to 65535, written without quotes.',
        ),
        ("port = 65536", "port in {file} is 65536, but it must be a whole number from 0 to 65535."),
        ("port = true", "port in {file} is true, but it must be a whole number from 0 to 65535."),
        ("port = 3000.0", "port in {file} is 3000.0, but it must be a whole number from 0 to 65535."),
        ("motd = 5", 'motd in {file} is 5, but it must be text, such as "5".'),
        (
            "unique_usernames = 1",
            "unique_usernames in {file} is 1, but it must be true or false.",
        ),
        (
            'plugins = "greet.py"',
            'plugins in {file} is "greet.py", but it must be a list, such as ["greet.py"].',
        ),
        (
            "disabled_commands = [1]",
            "disabled_commands in {file} has the entry 1, but each entry must be a command.",
        ),
        (
            "identify_timeout = 1.5",
            "identify_timeout in {file} is 1.5, but it must be a number of seconds of at least 2.",
        ),
        (
            "keepalive_timeout = 0",
            "keepalive_timeout in {file} is 0.0, but it must be a number of seconds greater than 0.",
        ),
        (
            "keepalive_timeout = inf",
            "keepalive_timeout in {file} is Infinity, but it must be a number of seconds greater than 0.",
        ),
        (
            "max_message_size = 1000",
            "max_message_size in {file} is 1000, but it must be a whole number of bytes of at least 1024.",
        ),
        (
            "max_clients = 0",
            "max_clients in {file} is 0, but it must be -1 (any number) or a whole number of at least 1.",
        ),
        (
            'reported_version = "1.0"',
            (
                'reported_version in {file} is "1.0", but it must be text that contains "0.2.", '
                "because Scratch extensions choose their way of speaking by it."
            ),
        ),
        (
            'trusted_proxies = ["10.0.0.1/8"]',
            (
                'trusted_proxies in {file} has the entry "10.0.0.1/8", but each entry must be an IP address such as '
                '"192.0.2.7", a whole network such as "10.0.0.0/8", or "unix" for Unix sockets.'
            ),
        ),
        (
            'allowed_origins = ["turbowarp.org"]',
            (
                'allowed_origins in {file} has the entry "turbowarp.org", but each entry must be an origin as browsers '
                'send it, such as "https://turbowarp.org" or "https://*.itch.zone" (small letters, no path; for every '
                "page leave the list empty)."
            ),
        ),
        (
            'real_ip_header = "X Real"',
            'real_ip_header in {file} is "X Real", but it must be the name of a header, such as "X-Forwarded-For".',
        ),
        (
            'log_level = "loud"',
            'log_level in {file} is "loud", but it must be one of debug, info, warning, error.',
        ),
        (
            'host = ""',
            (
                'host in {file} is "", but it must be an address such as "127.0.0.1", "0.0.0.0" or "*", or several with '
                "commas between them; the port is a setting of its own."
            ),
        ),
        (
            'write_delay = "5"',
            (
                'write_delay in {file} is "5", but it must be "auto" or a number of milliseconds from 0 to 100, '
                "written without quotes."
            ),
        ),
        (
            "write_delay = 100.5",
            'write_delay in {file} is 100.5, but it must be "auto" or a number of milliseconds from 0 to 100.',
        ),
        (
            "write_delay = true",
            'write_delay in {file} is true, but it must be "auto" or a number of milliseconds from 0 to 100.',
        ),
        (
            'trusted_proxies = ["::ffff:10.0.0.1"]',
            (
                'trusted_proxies in {file} has the entry "::ffff:10.0.0.1", but each entry must be an IP address such '
                'as "192.0.2.7", a whole network such as "10.0.0.0/8", or "unix" for Unix sockets.'
            ),
        ),
        (
            "[plugin]\ngreeting = 1",
            (
                "plugin in {file} has greeting = 1, but it takes sections only: "
                "write such values below a line [plugin.NAME]."
            ),
        ),
        (
            "[[plugin.greet]]\na = 1",
            (
                'plugin in {file} has greet = [{{"a": 1}}], but it takes sections only: '
                "write such values below a line [plugin.NAME]."
            ),
        ),
    ],
)
def test_wrong_values_in_the_file(tmp_path, text, expected):
    file = write(tmp_path, text)

    assert sentence(toml=file) == "The setting " + expected.format(file=file)


def test_a_long_value_is_cut(tmp_path):
    assert len(sentence(environ={"PORT": "9" * 5000})) < 200


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PORT": "abc"}, 'variable PORT is "abc", but it must be a whole number from 0 to 65535.'),
        (
            {"CLOUDLINK_PORT": ""},
            'variable CLOUDLINK_PORT is "", but it must be a whole number from 0 to 65535.',
        ),
        (
            {"CLOUDLINK_PORT": "3e3"},
            'CLOUDLINK_PORT is "3e3", but it must be a whole number from 0 to 65535.',
        ),
        ({"CLOUDLINK_UNIQUE_USERNAMES": "maybe"}, 'is "maybe", but it must be true or false.'),
        ({"CLOUDLINK_SHUTDOWN_TIMEOUT": "nan"}, "is NaN, but it must be a number of seconds of at least 0."),
        (
            {"CLOUDLINK_PROT": "1"},
            "There is no setting for the environment variable CLOUDLINK_PROT; did you mean CLOUDLINK_PORT?",
        ),
        (
            {"CLOUDLINK_WRITE_DELAY": "soon"},
            (
                'CLOUDLINK_WRITE_DELAY is "soon", but it must be "auto" or a number of milliseconds '
                "from 0 to 100."
            ),
        ),
    ],
)
def test_wrong_variables(environ, expected):
    assert sentence(environ=environ).endswith(expected)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"port": "x"}, 'The setting port given by the flag --port is "x", but it must be a whole number'),
        ({"trusted_proxies": ["nobody"]}, "trusted_proxies given by the flag --trusted-proxy has the entry"),
    ],
)
def test_wrong_flags(flags, expected):
    assert expected in sentence(flags=flags)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot = 1", "There is no setting prot, which is in {file}; did you mean port?"),
        (
            "max-clients = 1",
            "There is no setting max-clients, which is in {file}; did you mean max_clients?",
        ),
        ("Port = 1", "There is no setting Port, which is in {file}; did you mean port?"),
        (
            '"a\\nb" = 1',
            "There is no setting a b, which is in {file}; `cloudlink config` lists all settings.",
        ),
        (
            "[server]\nport = 1",
            (
                "{file} has a section [server], but settings need no sections: "
                "remove that line and leave the settings below it as they are."
            ),
        ),
        ("plugin = 1", "There is no setting plugin, which is in {file}; did you mean plugins?"),
        (
            "[plugins.greet]\nword = 1",
            "{file} has a section [plugins], which does not exist; did you mean [plugin.NAME]?",
        ),
        (
            "port = 1\nmotd = hello\n",
            "{file} has a mistake in line 2: Invalid value (text must be in quotes).",
        ),
        ("port = 1\n\nport = 2", "{file} has a mistake in line 3: Cannot overwrite a value."),
        ('port = 1\nplugins = ["a"', "{file} has a mistake in line 2: Unclosed array."),
    ],
)
def test_wrong_files(tmp_path, text, expected):
    file = write(tmp_path, text)

    assert sentence(toml=file) == expected.format(file=file)


def test_a_file_that_cannot_be_read(tmp_path):
    absent = tmp_path / "other.toml"
    assert sentence(toml=absent) == f"The settings file {absent} does not exist."
    assert sentence(toml=tmp_path) == f"The settings file {tmp_path} cannot be read: Is a directory."

    absent.write_text('motd = "é"', encoding="utf-16")
    assert sentence(toml=absent) == f"The settings file {absent} is not UTF-8 text: save it again as UTF-8."


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    file = tmp_path / "cloudlink.toml"
    file.write_text('motd = "é"', encoding="utf-8-sig")

    assert load(toml=file, environ={}, flags={}).motd == "é"


def test_unknown_name_in_code():
    with pytest.raises(StartError, match=re.escape("There is no setting plugin; did you mean plugins?")):
        Settings().set("plugin", [])


def test_tls_needs_both_files(tmp_path):
    assert sentence(flags={"tls_key": "key.pem"}) == (
        "The setting tls_key is given (flag --tls-key), but tls_certificate is not: "
        "TLS needs both the certificate and its key."
    )
    assert sentence(environ={"CLOUDLINK_TLS_CERTIFICATE": "c.pem"}).startswith(
        "The setting tls_certificate is given (environment CLOUDLINK_TLS_CERTIFICATE), but tls_key is not"
    )
    Settings(tls_certificate="c.pem", tls_key="k.pem").check()


def test_trusted_proxies_need_a_header():
    flags = {"trusted_proxies": ["10.0.0.0/8"]}
    assert sentence(flags=flags) == (
        "The setting trusted_proxies is given (flag --trusted-proxy), but real_ip_header is not: "
        'name the header in which these proxies write the client\'s address, such as "X-Forwarded-For".'
    )
    load(toml=None, environ={}, flags=flags | {"real_ip_header": "X-Forwarded-For"})


def test_allowed_origins_of_real_pages():
    origins = ["https://turbowarp.org", "http://localhost:8000", "null", "tw-editor://."]

    assert Settings(allowed_origins=origins).allowed_origins == origins


@given(st.sampled_from(list(OPTIONS)), st.text())
def test_any_text_is_a_value_or_one_sentence_that_names_the_setting(name, text):
    variable = OPTIONS[name].variables[0]
    said = f"The setting {name} in the environment variable {variable} is fine."
    try:
        settings = from_environment({variable: text})
    except StartError as error:
        said = str(error)
    else:
        value = getattr(settings, name)
        assert type(value) is OPTIONS[name].kind or value in OPTIONS[name].choices

    assert said.startswith(f"The setting {name} in the environment variable {variable} ")
    assert "\n" not in said


def test_every_option_has_an_allowed_default():
    defaults = {name: option.default for name, option in OPTIONS.items()}
    assert {name: option.checked(option.default) for name, option in OPTIONS.items()} == defaults


def test_every_option_has_a_sentence_of_help():
    assert [name for name, option in OPTIONS.items() if not option.help.endswith(".")] == []


def test_every_float_has_a_unit():
    assert [name for name, option in OPTIONS.items() if option.kind is float and not option.unit] == []


def test_the_examples_of_the_page_are_right(tmp_path):
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for text in examples:
        load(toml=write(tmp_path, text), environ={}, flags={})


@pytest.mark.parametrize("word", ["debug", "DEBUG", "Debug"])
def test_words_to_choose_from_are_taken_in_any_case(tmp_path, word):
    assert load(toml=None, environ={"CLOUDLINK_LOG_LEVEL": word}, flags={}).log_level == "debug"
    assert load(toml=None, environ={}, flags={"log_level": word}).log_level == "debug"
    assert load(toml=write(tmp_path, f'log_level = "{word}"'), environ={}, flags={}).log_level == "debug"
    assert Settings(log_level=word).log_level == "debug"


def test_a_unit_can_be_counted():
    """It reads: number of packets per second."""
    assert [name for name, option in OPTIONS.items() if option.unit.startswith("per ")] == []


# Warnings.

KUBERNETES = {
    "CLOUDLINK_PORT": "tcp://10.0.0.5:3000",
    "CLOUDLINK_PORT_3000_TCP": "tcp://10.0.0.5:3000",
    "CLOUDLINK_PORT_3000_TCP_ADDR": "10.0.0.5",
    "CLOUDLINK_PORT_3000_TCP_PORT": "3000",
    "CLOUDLINK_PORT_3000_TCP_PROTO": "tcp",
    "CLOUDLINK_SERVICE_HOST": "10.0.0.5",
    "CLOUDLINK_SERVICE_PORT": "3000",
    "CLOUDLINK_SERVICE_PORT_GAME": "3000",
}
"""What Kubernetes sets for a service called `cloudlink`."""


@pytest.mark.parametrize(
    "service", ["CLOUDLINK", "CLOUDLINK_CLOUD", "CLOUDLINK_LOG", "CLOUDLINK_MAX_CLIENTS"]
)
def test_variables_of_kubernetes_are_ignored_in_one_line(service):
    variables = {name.replace("CLOUDLINK", service): value for name, value in KUBERNETES.items()}

    settings = from_environment(variables)

    assert {settings.origins[name] for name in OPTIONS} == {"default"}
    assert settings.warnings == [
        (
            f"{', '.join(sorted(variables))}: ignored, because Kubernetes and Docker set these variables for a service "
            "called cloudlink; to set the port, use PORT, a flag or a settings file."
        )
    ]


def test_a_port_counts_beside_the_variables_of_kubernetes():
    assert from_environment(KUBERNETES | {"PORT": "4000"}).port == 4000
    assert load(toml=None, environ=KUBERNETES, flags={"port": "4000"}).port == 4000


def test_a_number_in_the_variable_of_the_port_is_the_setting():
    settings = from_environment(KUBERNETES | {"CLOUDLINK_PORT": "4000"})

    assert settings.port == 4000
    assert "CLOUDLINK_PORT," not in settings.warnings[0]


@pytest.mark.parametrize("name", ["CLOUDLINK_QQQQ", "CLOUDLINK_VERSION", "CLOUDLINK_IMAGE", "CLOUDLINK_HOME"])
def test_an_unknown_variable_is_ignored_with_a_sentence(name):
    settings = from_environment({name: "1", "CLOUDLINK_MOTD": "Hi"})

    assert settings.motd == "Hi"
    assert settings.warnings == [f"There is no setting for the environment variable {name}; it is ignored."]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("CLOUDLINK_MAX_CLIENT", "CLOUDLINK_MAX_CLIENTS"), ("CLOUDLINK_MODT", "CLOUDLINK_MOTD")],
)
def test_a_misspelled_variable_stops_the_start(name, meant):
    assert sentence(environ={name: "1"}).endswith(f"variable {name}; did you mean {meant}?")


def test_a_wrong_variable_that_a_flag_overrides_is_ignored_with_a_sentence():
    settings = load(toml=None, environ={"CLOUDLINK_PORT": "abc"}, flags={"port": "4000"})

    assert settings.port == 4000
    assert settings.warnings == [
        (
            'The setting port in the environment variable CLOUDLINK_PORT is "abc", '
            "but it must be a whole number from 0 to 65535. The flag --port is used instead."
        )
    ]


# Changing settings.


def test_an_attribute_is_checked_like_set():
    settings = Settings()
    settings.packet_rate = 5

    assert (settings.packet_rate, type(settings.packet_rate)) == (5.0, float)
    assert settings.origins["packet_rate"] == "code"
    with pytest.raises(StartError, match="packet_rate given in code is 0"):
        settings.packet_rate = 0
    assert settings.packet_rate == 5.0


def test_observers_hear_of_every_change():
    settings = Settings(port=1)
    heard = []
    settings.on_change(lambda name: heard.append((name, getattr(settings, name))))

    settings.set("packet_rate", 7)
    settings.motd = "Hi"
    with pytest.raises(StartError):
        settings.set("port", -1)

    assert heard == [("packet_rate", 7.0), ("motd", "Hi")]


def test_an_observer_belongs_to_one_object():
    first, second = Settings(), Settings()
    heard = []
    first.on_change(heard.append)
    second.motd = "Hi"

    assert heard == []


# Tables.


def test_sections_of_plugins_hold_anything(tmp_path):
    file = write(
        tmp_path,
        """
        port = 1
        [plugin.greet]
        word = "hello"
        times = [1, 2.5]
        since = 2026-01-31
        [plugin.greet.deep]
        port = true
        [plugin."odd name"]
        """,
    )

    settings = load(toml=file, environ={"CLOUDLINK_PLUGINS_FOLDER": ""}, flags={})

    assert settings.plugin == {
        "greet": {
            "word": "hello",
            "times": [1, 2.5],
            "since": dt.date(2026, 1, 31),
            "deep": {"port": True},
        },
        "odd name": {},
    }
    assert settings.origins["plugin"] == str(file)


def test_tables_given_in_code_are_checked_and_copied():
    given_table = {"greet": {"words": ["hello"]}}
    settings = Settings(plugin=given_table)
    given_table["greet"]["words"].append("later")

    assert settings.plugin == {"greet": {"words": ["hello"]}}
    assert settings.origins["plugin"] == "code"
    with pytest.raises(StartError, match="setting plugin given in code has greet = 1"):
        settings.plugin = {"greet": 1}


LIMITED = [known for known in OPTIONS.values() if known.is_number and known.kind is int]


@pytest.mark.parametrize("known", LIMITED, ids=lambda known: known.name)
def test_the_limits_of_a_number_themselves_are_allowed(known):
    least, most, above = known.limits.minimum, known.limits.maximum, known.limits.above
    for allowed in filter(lambda number: number is not None, (least, most)):
        assert known.checked(int(allowed)) == allowed
    for refused in ((least, -1), (most, 1), (above, 0)):
        if refused[0] is not None:
            with pytest.raises(ValueError, match="but it must be"):
                known.checked(int(refused[0]) + refused[1])
