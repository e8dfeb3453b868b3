"""The README's messages, met as a user meets them."""

import functools
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.fake import stamp
from tests.readme import code, table
from tests.test_robustness import Dripping, run_with_stdout

MESSAGES = [code(row[0]) for row in table("The log says")]
MEETING = {}
NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}


def meets(message):
    """Registers a way to meet a message: a function of `tap`, whose log must have it."""
    return functools.partial(MEETING.setdefault, message)


def only(tap, stream, **kwargs):
    return tap.run(catalog=tap.select(stream), **kwargs).log


@meets("cannot read the config file")
def _no_config(tap):
    return tap.run("--config", "no-such-file.json").log


@meets("is not a JSON object")
def _no_json(tap):
    return tap.run("--config", tap.file("config.json", '{"client_id": "a",}')).log


@meets("is not a setting; did you mean")
def _misspelt(tap):
    tap.configure(concurency=2)
    return only(tap, "teams")


@meets("Probably --state")
def _state_as_config(tap):
    return tap.run("--config", tap.file("state.json", {"bookmarks": {}})).log


@meets("needs mending")
def _bad_setting(tap):
    tap.configure(start_date="yesterday")
    return tap.run().log


@meets("Check client_id and client_secret")
def _refused(tap):
    tap.configure(refresh_token="spent")
    return tap.run().log


@meets("cannot replace the config file")
def _read_only(tap):
    tap.configure(refresh_token=tap.fake.new_refresh_token())
    tap.config_path.chmod(0o444)
    return tap.run().log


@meets("held the lock on the folder")
def _locked(tap):
    tap.configure(refresh_token=tap.fake.new_refresh_token(), request_timeout=1)
    tap.wrapper = ("flock", str(tap.folder))
    return only(tap, "teams")


@meets("a refresh_token that is no text")
def _odd_refresh_token(tap):
    tap.configure(refresh_token=tap.fake.new_refresh_token())
    body = {"access_token": tap.fake.new_access_token(), "refresh_token": 5}
    tap.fake.fault(200, "oauth2", body=body)
    return only(tap, "teams")


@meets("happiness_ratings_report is incomplete")
def _no_reports(tap):
    tap.fake.set(plan="standard")
    return only(tap, "happiness_ratings_report")


@meets("Help Scout does not have it for this account")
def _missing(tap):
    tap.fake.fault(404, path="/v2/webhooks", times=None)
    return only(tap, "webhooks")


@meets("answered 429")
def _rate_limit(tap):
    tap.fake.fault(429, "/teams", headers={"X-RateLimit-Retry-After": "0"})
    return only(tap, "teams")


@meets("requests a minute that this tap may send are used")
def _spread(tap):
    return _until_it_waits(tap, limit=8)


@meets("which is this tap's share")
def _share(tap):
    return _until_it_waits(tap, limit=1)


def _until_it_waits(tap, limit):
    """The log of a run up to its first wait for the rate limiter."""
    tap.fake.set(rate_limit=limit)
    with tap.start() as process:
        lines = []
        while not lines or "waiting" not in lines[-1]:
            lines.append(process.stderr.readline().decode())
        process.kill()
    return "".join(lines)


@meets("answered 503")
def _bad_moment(tap):
    tap.fake.fault(503, "/teams")
    return only(tap, "teams")


@meets("is incomplete")
def _failed(tap):
    tap.fake.fault(400, "/teams")
    return only(tap, "teams")


@meets("no answer within request_timeout")
def _silent(tap):
    tap.configure(request_timeout=0.3, retry_seconds=0)
    tap.fake.fault("silent", "/teams")
    return only(tap, "teams")


@meets("the response is not whole after")
def _dripping(tap):
    with Dripping(b"HTTP/1.1 200 OK\r\n\r\n", interval=0.05) as server:
        tap.configure(api_url=server.url, request_timeout=1, retry_seconds=0)
        return tap.run(env=NO_PROXY).log


@meets("the proxy URL in the environment")
def _no_proxy_url(tap):
    tap.configure(api_url="https://no-such-host.invalid")
    env = {"HTTPS_PROXY": "http://user:password@", "NO_PROXY": "", "no_proxy": ""}
    return tap.run(env={**env, "https_proxy": env["HTTPS_PROXY"]}).log


@meets("Connection refused")
def _no_network(tap):
    tap.configure(api_url="https://127.0.0.1:1", retry_seconds=0)
    refused = tap.run(env=NO_PROXY).log
    tap.configure(api_url="https://no-such-host.invalid", retry_seconds=0)
    return refused + tap.run(env=NO_PROXY).log


@meets("CERTIFICATE_VERIFY_FAILED")
def _own_certificate(tap):
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not here")
    key, certificate = tap.folder / "key.pem", tap.folder / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tap.configure(api_url=f"https://localhost:{server.server_port}", retry_seconds=0)
        log = tap.run(env=NO_PROXY).log
        server.shutdown()
    return log


@meets("embedded threads are not used in this run")
def _no_embed(tap):
    tap.fake.set(embed="no_line_items")
    return only(tap, "conversation_threads")


@meets("was deleted or merged meanwhile")
def _gone(tap):
    chat = next(row["id"] for row in tap.fake.truth()["conversations"] if row["type"] == "chat")
    tap.fake.before(lambda fake: fake.delete(chat), path=f"/{chat}/threads")
    return only(tap, "conversation_threads")


@meets("rows moved while they were read")
def _moved(tap):
    users = tap.fake.tables["users"]
    tap.fake.before(lambda fake: users.append({**users[0], "id": 599}), path="/users.*page=2")
    return only(tap, "users")


@meets("which the schema lacks")
def _new_field(tap):
    tap.fake.touch_row("teams", tap.fake.tables["teams"][0]["id"], brandNew=1)
    return only(tap, "teams")


@meets("it is empty")
def _empty_state(tap):
    tap.file("state.json", "")
    return tap.run("--state", "state.json", cwd=tap.folder).log


@meets("the state file state.json must look like")
def _odd_state(tap):
    tap.file("state.json", {"bookmarks": {"users": {"updated_at": "2020-01-01T00:00:00Z"}}})
    return tap.run("--state", "state.json", cwd=tap.folder).log


@meets("is not a Singer catalog")
def _no_catalog(tap):
    return tap.run(catalog={}).log


@meets("selects streams that this tap does not have")
def _odd_catalog(tap):
    catalog = tap.discover()
    catalog["streams"].append({**catalog["streams"][0], "tap_stream_id": "invoices"})
    return tap.run(catalog=catalog).log


@meets("has more than one entry of")
def _twice(tap):
    catalog = tap.discover()
    catalog["streams"] += catalog["streams"][:1]
    return tap.run(catalog=catalog).log


@meets("has no effect")
def _no_effect(tap):
    catalog = tap.select("no stream")
    catalog["streams"][0]["selected"] = True
    return tap.run(catalog=catalog).log


@meets("matches no stream")
def _no_match(tap):
    return tap.run("--discover", "--select", "conversation").log


@meets("nothing is selected")
def _nothing(tap):
    return only(tap, "no stream")


@meets("cannot write to stdout")
def _full_disk(tap):
    done = [run_with_stdout(tap, redirection) for redirection in (">/dev/full", ">&-")]
    return "".join(log for _, log in done)


@meets("the earlier is believed")
def _another_day(tap):
    tap.fake.clock_offset = 2 * 86400
    return only(tap, "teams")


@meets("the target has closed the pipe")
def _closed_pipe(tap):
    with tap.start() as process:
        process.stdout.readline()
        process.stdout.close()
        return process.stderr.read().decode()


@meets("an error of the tap's own")
def _bug(tap):
    broken = "import tap_helpscout as tap; tap.sync = None; tap.main()"
    return subprocess.run(
        [sys.executable, "-c", broken, "--config", tap.config_path],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    ).stderr


@meets("does not fit the schema")
def _misfit(tap):
    tap.fake.touch_row("teams", tap.fake.tables["teams"][0]["id"], createdAt="yesterday")
    return only(tap, "teams")


def _unreadable(tap, **kwargs):
    tap.configure(retry_seconds=0)
    chat = next(row["id"] for row in tap.fake.truth()["conversations"] if row["type"] == "chat")
    tap.fake.fault(500, path=f"/{chat}/threads", times=None)
    return tap.run(catalog=tap.select("conversation_threads"), **kwargs)


@meets("is put aside for the next run")
def _put_aside(tap):
    return _unreadable(tap).log


@meets("still cannot be read, and stays put aside")
def _stays_put_aside(tap):
    return _unreadable(tap, state=_unreadable(tap).state).log


@meets("stays put aside in the state")
def _put_aside_and_deselected(tap):
    state = {"bookmarks": {}, "pending": {"conversation_threads": [900_001]}}
    return only(tap, "teams", state=state)


@meets("gone meanwhile")
def _gone_counted(tap):
    return _gone(tap)


@meets("cannot be relied on")
def _no_date_filter(tap):
    tap.fake.set(query_finds="nothing")
    return only(tap, "customers")


@meets("spam is not in the list")
def _spam(tap):
    tap.fake.set(status_all_has_spam=False)
    return only(tap, "conversations")


@meets("start_date is earlier than when")
def _earlier_start(tap):
    state = tap.run(catalog=tap.select("customers")).state
    tap.configure(start_date="2009-01-01")
    return only(tap, "customers", state=state)


@meets("only the last line")
def _several_states(tap):
    return tap.run(state='{"bookmarks": {}}\n{"bookmarks": {}}\n').log


@meets("is torn")
def _torn_state(tap):
    return tap.run(state='{"bookmarks": {}}\n{"book').log


@meets("is a pipe")
def _piped_refresh_token(tap):
    tap.configure(refresh_token=tap.fake.new_refresh_token())
    command = tap.command("--config", "/dev/stdin")
    content = tap.config_path.read_text()
    return subprocess.run(
        command, input=content, check=False, capture_output=True, text=True, timeout=60
    ).stderr


@meets("sees no such inbox")
def _no_such_inbox(tap):
    tap.configure(mailbox_ids=[7009])
    return only(tap, "teams")


@meets("mailbox_ids cannot be checked")
def _no_inboxes(tap):
    tap.fake.fault(403, "/mailboxes")
    tap.configure(mailbox_ids=[7001])
    return only(tap, "teams")


@meets("come whole, not of the inboxes of mailbox_ids alone")
def _unfiltered(tap):
    tap.fake.set(customers_mailbox_ignored=True)
    tap.configure(mailbox_ids=[7001])
    return only(tap, "customers")


@meets("was not read before")
def _new_inbox(tap):
    state = {"bookmarks": {"conversations": stamp(tap.fake.now())}}
    return only(tap, "conversations", state={**state, "inboxes": {"conversations": [7001]}})


@meets("the state does not say which")
def _older_state(tap):
    return only(tap, "conversations", state={"bookmarks": {"conversations": stamp(tap.fake.now())}})


@meets("inboxes that are new cannot be found")
def _new_inboxes_unknown(tap):
    tap.fake.fault(403, "/mailboxes")
    return only(tap, "conversations")


def test_the_messages_in_the_readme_are_those_that_are_tried():
    assert [messages[0] for messages in MESSAGES] == list(MEETING)


@pytest.mark.parametrize("messages", MESSAGES, ids=lambda messages: messages[0])
def test_messages_are_what_a_user_meets(tap, messages):
    log = MEETING[messages[0]](tap)
    assert [message for message in messages if message not in log] == [], log
