"""What the command line's arguments mean."""

from collections.abc import Callable

import pytest

from tap_helpscout.command_line import Arguments, parse_args


@pytest.fixture(name="refused")
def _refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Has the command line refused; gives what is said of it."""

    def refused(*argv: str) -> str:
        with pytest.raises(SystemExit) as end:
            parse_args(argv)
        out, err = capsys.readouterr()
        assert end.value.code == 1 and not out and err.startswith("usage: tap-helpscout")
        return err.splitlines()[-1]

    return refused


@pytest.mark.parametrize(
    "argv",
    [
        ["--config", "c", "--state", "s", "--catalog", "p", "--dev"],
        ["-c", "c", "-s", "s", "-p", "p", "--dev"],
        ["--dev", "--properties=p", "--config=c", "--state=s"],
    ],
    ids=" ".join,
)
def test_options_long_and_short(argv: list[str]) -> None:
    assert parse_args(argv) == Arguments(
        "c", "s", "p", discover=False, check=False, select=(), dev=True
    )


@pytest.mark.parametrize(
    "argv, select",
    [
        (["-d"], ()),
        (["--discover", "--select", "a", "!b"], ("a", "!b")),
        (["--select", "a", "--discover"], ("a",)),
        (["--discover", "--select", "a", "--select", "b"], ("a", "b")),
    ],
    ids=" ".join,
)
def test_discovery_needs_no_config(argv: list[str], select: tuple[str, ...]) -> None:
    assert parse_args(argv) == Arguments(None, None, None, True, False, select, False)


def test_discovery_may_have_a_config() -> None:
    assert parse_args(["--config", "c", "--discover"]).config == "c"


@pytest.mark.parametrize(
    "argv, words",
    [
        (["config.json"], "did you mean --config config.json?"),
        (
            ["config.json", "state.json"],
            "did you mean --config config.json --state state.json?",
        ),
        (["config.json", "prod.json"], "unexpected argument config.json"),
        (["sync", "config.json"], "unexpected argument sync"),
        (["config.json", "--zzz"], "no option --zzz"),
        (["/a/b/prod.json"], "did you mean --config /a/b/prod.json?"),
        (["--config", "c.json", "state.json"], "did you mean --state state.json?"),
        (["--config", "c.json", "states.jsonl"], "did you mean --state states.jsonl?"),
        (["--config", "c.json", "catalog.json"], "did you mean --catalog catalog.json?"),
        (["--discover", "config.json"], "did you mean --config config.json?"),
        (["--config", "c.json", "d.json"], "unexpected argument d.json"),
        (["sync"], "unexpected argument sync"),
        (["--conifg", "c.json"], "no option --conifg, did you mean --config?"),
        (["--config", "c.json", "--discovr"], "did you mean --discover?"),
        (["--config", "c.json", "--zzz"], "no option --zzz"),
        ([], "--config is needed, or --discover"),
        (["--state", "s"], "--config is needed, or --discover"),
        (["--config", "c.json", "--state", ""], "--state has an empty name"),
        (["--config", "c.json", "--catalog="], "--catalog has an empty name"),
        (["--config", ""], "--config has an empty name"),
        (["--config"], "expected one argument"),
        (["--config", "c.json", "--select", "users"], "--select goes with --discover"),
        (["--select", "users"], "--select goes with --discover"),
        (["--discover", "--select"], "expected at least one argument"),
    ],
    ids=str,
)
def test_mistakes_say_what_was_probably_meant(
    refused: Callable[..., str], argv: list[str], words: str
) -> None:
    assert words in refused(*argv)


def test_help_has_examples_exit_codes_and_the_place_of_the_readme(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_args(["--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out
    assert len([line for line in words.splitlines() if line.startswith("  tap-helpscout ")]) == 4
    for word in ("exit codes:", "130, 143", "README.md", "'!customers.background'"):
        assert word in words
