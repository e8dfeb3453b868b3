"""JSON files: what is said of a bad one."""

import json

import pytest

from tap_helpscout import files
from tap_helpscout.files import ConfigError, read_json


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "config.json"


def refused(path, content):
    """The message for a file with this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        read_json(str(path), "config")
    message = str(caught.value)
    assert message.startswith(f"the config file {path} is not a JSON object, {{…}}, in UTF-8: ")
    return message


def test_an_object_is_read_with_a_byte_order_mark_and_without(path):
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text('{"a": "größe 😀", "b": [1, 2.5, null]}', encoding=encoding)
        assert read_json(str(path), "config") == {"a": "größe 😀", "b": [1, 2.5, None]}


def test_a_whole_surrogate_pair_is_a_character(path):
    path.write_text(r'{"a": "\ud83d\ude00"}')
    assert read_json(str(path), "config") == {"a": "😀"}


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "it is empty"),
        (b"\xef\xbb\xbf\n", "it is empty"),
        ("[1]", "it holds something else"),
        ('{"a": NaN}', "NaN is not a number of JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not a number of JSON"),
        ('{"a": 1e400}', "1e400 is not a number of JSON"),
        (r'{"a": "\ud83d"}', r"\ud83d is half of a surrogate pair"),
        (r'{"a\uDE00": 1}', r"\ude00 is half of a surrogate pair"),
        ("[" * 100_000, "it is nested too deeply"),
        (b"\xff", "'utf-8'"),
    ],
    ids=range(10),
)
def test_what_is_no_object_is_refused_in_words(path, content, words):
    assert words in refused(path, content)


@pytest.mark.parametrize("name, words", [("none.json", "No such file"), (".", "Is a directory")])
def test_what_cannot_be_read_is_named(tmp_path, name, words):
    path = str(tmp_path / name)
    with pytest.raises(ConfigError, match=words) as caught:
        read_json(path, "state")
    assert str(caught.value).startswith(f"cannot read the state file {path}: ")


@pytest.mark.parametrize("what", ["config", "state", "catalog"])
@pytest.mark.parametrize(
    "document, kind",
    [
        ({"client_id": "a", "client_secret": "b"}, "config"),
        ({"bookmarks": {}}, "state"),
        ({"currently_syncing": None, "bookmarks": 5}, "state"),
        ({"streams": []}, "catalog"),
    ],
)
def test_a_file_of_another_kind_is_told(path, document, kind, what):
    path.write_text(json.dumps(document))
    if kind == what:
        assert read_json(str(path), what) == document
        return
    with pytest.raises(ConfigError) as caught:
        read_json(str(path), what)
    assert str(caught.value).startswith(f"the {what} file {path} is a {kind}: ")
    assert f"Probably --{kind} {path} was meant" in str(caught.value)


@pytest.mark.parametrize("name", ["bookmarks", "streams"])
def test_a_runners_key_of_such_a_name_makes_no_state_of_a_config(path, name):
    path.write_text(json.dumps({"client_id": "a", name: []}))
    assert read_json(str(path), "config")[name] == []


@pytest.mark.parametrize(
    "content, is_lines",
    [
        ('{"bookmarks": {}}\n{"bookmarks": {}}\n\n', True),
        ('{"bookmarks": {}}\r\n{"a": 1}', True),
        ('{"bookmarks": {}}\n{"bookmarks": {}}\n\0\0\0', True),
        ('{"bookmarks": {}}}', False),
        ('{"bookmarks": {}}\0', False),
        ('{"bookmarks"\n{"bookmarks": {}}', False),
        ('{"bookmarks":\n {}}\n}', False),
    ],
    ids=range(7),
)
def test_of_several_states_the_last_is_asked_for(path, content, is_lines):
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_json(str(path), "state")
    command = f"only the last line, as in sed -n 2p {path} > {path}.last"
    assert (command in str(caught.value)) == is_lines
    assert ("is not a JSON object" in str(caught.value)) != is_lines


@pytest.mark.parametrize(
    "torn",
    ['{"bookmarks"', "[" * 100_000, '{"bookmarks": {"us\0\0\0', '"bookmarks": {}}\n', "[]"],
    ids=range(5),
)
def test_of_several_states_of_which_the_last_is_torn_the_last_whole_one_is_asked_for(path, torn):
    path.write_text('{"bookmarks": {}}\n\n{"bookmarks": {"a": 1}}\n' + torn)
    with pytest.raises(ConfigError) as caught:
        read_json(str(path), "state")
    said = str(caught.value)
    assert said.startswith(
        f"the state file {path} has a state in each of several lines, and line 4"
    )
    assert f"sed -n 3p {path} > {path}.last (" in said and "sync.sh" in said and len(said) < 500
    with pytest.raises(ConfigError, match="the last line belongs after --state"):
        read_json(str(path), "config")


def shown(path, content):
    """The lines of a file that a message shows, and the column that is marked."""
    _, *lines, mark = refused(path, content).splitlines()
    assert mark.strip() == "^" and all(line.startswith("    ") for line in lines)
    return [line[4:] for line in lines], mark.index("^") - 4


def test_the_line_of_an_error_is_shown_with_a_mark(path):
    (line,), column = shown(path, '{\n  "client_id" "App",\n  "start_date": ""\n}')
    assert line == '  "client_id" "***",'.replace("client_id", "******_**".replace("_", "*"))
    assert line[column] == '"' and column == 14


def test_the_line_before_is_shown_where_it_ends_in_a_comma(path):
    lines, column = shown(path, '{\n  "client_id": "App", \n  nothing\n}')
    assert lines == ['  "client_id": "***", ', "  *******"] and column == 2
    lines, _ = shown(path, '{\n  "client_id": "App"\n  nothing\n}')
    assert lines == ["  *******"]


def test_a_comma_too_many_is_seen(path):
    lines, _ = shown(path, '{\n  "client_id": "App",\n}')
    assert '  "client_id": "***",' in lines


@pytest.mark.parametrize(
    "line",
    [
        '"client_secret": "{}',
        '"client_secret": {}"',
        "'client_secret': '{}'",
        '"client_secret": "{}": 5',
        '{{"client_id": "a", "client_secret": "{}" "start_date": "2020"}}',
        '"client_secret", "{}": 5',
        "{}",
    ],
)
@pytest.mark.parametrize("secret", ["aB3-x_Y", "Lamp", "0815", "größe"])
def test_no_value_of_a_line_is_shown(path, line, secret):
    for content in (line.format(secret), "{\n" + line.format(secret) + ",\n}}"):
        lines, _ = shown(path, content)
        assert not [text for text in lines if secret in text]


def test_of_a_long_line_only_the_part_around_the_error_is_shown(path):
    content = '{"a": [' + "1, " * 5000 + ";], " + '"b": 1' * 2 + "," * 5000
    (line,), column = shown(path, content)
    assert len(line) <= 2 * files.SHOWN_CHARACTERS and line[column] == ";"


def test_a_line_with_control_characters_stays_one_line(path):
    lines, _ = shown(path, '{"a":\x0b\x1b[2K\u2028 x}')
    assert len(lines) == 1 and lines[0].isprintable()
