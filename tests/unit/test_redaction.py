"""What may not be in the log, in whatever form an error repeats it."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.redaction import Redactor

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=30
).filter(lambda text: not set(text) <= set("*@/"))
FORMS = {
    "plain": lambda secret: secret,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a form": quote_plus,
    "in lowercase hexadecimal": lambda secret: quote(secret, safe="").lower(),
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON with slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", r"\/"),
}


def redactor(*secrets):
    made = Redactor()
    made.add(*secrets)
    return made


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_hidden(form):
    text = FORMS[form]('a+b/c=d~e"f%g')
    if form == "in lowercase hexadecimal":
        text = FORMS[form]("a+b/c=d")
        assert redactor("a+b/c=d").clean(f"said {text}.") == "said ***."
    else:
        assert redactor('a+b/c=d~e"f%g').clean(f"said {text}.") == "said ***."


@pytest.mark.parametrize("form", [form for form in FORMS if "lower" not in form])
@given(secret=SECRETS)
def test_any_secret_is_hidden(form, secret):
    assert redactor(secret).clean(FORMS[form](secret)) == "***"


def test_one_that_begins_like_another_hides_both():
    made = redactor("lamp", "lamp-shop-secret", "lamp-shop")
    assert made.clean("lamp-shop-secret, lamp-shop, lamp") == "***, ***, ***"


def test_nothing_and_blank_are_no_secrets():
    assert redactor(None, "").clean("All is well") == "All is well"
    assert Redactor().clean("All is well") == "All is well"


@pytest.mark.parametrize(
    "url", ["http://user:pw@proxy:1", "https://u%40x:p%2Fw@h", "//a@h", "socks5://user:pw@proxy"]
)
def test_who_and_password_before_a_host_are_hidden_though_nobody_named_them(url):
    cleaned = Redactor().clean(f"Failed to parse: {url} twice {url}")
    assert cleaned.count("//***@") == 2 and "pw" not in cleaned and "%2F" not in cleaned


def test_an_address_is_no_password():
    assert Redactor().clean("see https://example.com/a and mail a@b") == (
        "see https://example.com/a and mail a@b"
    )


@pytest.mark.parametrize(
    "text, cleaned",
    [
        ("No\nCRITICAL forged", r"No\nCRITICAL forged"),
        ("\r\x1b[2K", r"\r\x1b[2K"),
        ("a\u2028b\x85c\x00", r"a\u2028b\x85c\x00"),
        ("\ud83d half", r"\ud83d half"),
        ("Zugriff für Büro, 😀", "Zugriff für Büro, 😀"),
    ],
)
def test_control_characters_are_escaped(text, cleaned):
    assert Redactor().clean(text) == cleaned


@given(st.text())
def test_what_is_clean_is_one_line_that_can_be_written(text):
    cleaned = redactor("lamp").clean(text)
    assert len(cleaned.splitlines()) <= 1 and cleaned.isprintable()
    assert cleaned.encode().decode() == cleaned
