"""What runners such as Stitch's do around a tap: their catalogs and states, the process they start
it in, their network."""

import os
import select
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jsonschema import Draft4Validator, FormatChecker

from tests.conftest import Tap
from tests.fake import FakeHelpScout
from tests.test_state import open_starts

HOST = "api.helpscout.test"  # which no name server knows


# -- config ---------------------------------------------------------------------------------------


def test_numbers_may_be_strings(tap, fake):
    tap.configure(
        concurrency="1",
        request_timeout="20",
        rate_limit_share="0.5",
        retry_seconds="10",
        lookback_seconds="60",
    )
    fake.latency = 0.01
    run = tap.good_run(state={"bookmarks": {"customers": "2024-05-01T12:00:00Z"}})
    # With the second that windows share.
    assert open_starts(fake, "customers")[0] == "2024-05-01T11:58:59Z"
    assert fake.max_in_flight == 1
    assert run.records("mailboxes")


def test_keys_that_the_tap_does_not_know_are_left_alone(tap):
    theirs = {"disable_collection": "true", "größe": {"nested": [1, None]}, "frequency": ""}
    tap.configure(**theirs)
    tap.good_run(catalog=tap.select("teams"))
    assert theirs.items() <= tap.config.items()


def test_settings_that_their_user_left_empty_have_their_default(tap, fake):
    tap.configure(user_agent="", request_timeout="", refresh_token="", api_url=fake.url)
    tap.good_run(catalog=tap.select("teams"))
    assert fake.requests[-1].headers["User-Agent"].startswith("tap-helpscout/")


# -- catalogs and states --------------------------------------------------------------------------


def nodes(schema, breadcrumb=()):
    """The breadcrumbs of a schema and of all that is in it."""
    yield breadcrumb
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, breadcrumb + ("properties", name))
    if "items" in schema:
        yield from nodes(schema["items"], breadcrumb + ("items",))


def catalog_with(tap, words):
    """A catalog that selects every node in so many words, and says these of some: {stream:
    {"field" or "list.items.field": words}}, where "" is the stream itself."""
    catalog = tap.discover()
    catalog["streams"] = catalog["streams"][:7]  # there are more, and all are as these
    for entry in catalog["streams"]:
        said = {tuple(item["breadcrumb"]): item["metadata"] for item in entry["metadata"]}
        stream_words = dict(words.get(entry["tap_stream_id"], {}))
        for node in nodes(entry["schema"]):
            path = ".".join(part for part in node if part != "properties")
            said[node] = {**said.get(node, {}), "selected": True, **stream_words.pop(path, {})}
        assert not stream_words
        entry["metadata"] = [
            {"breadcrumb": list(node), "metadata": metadata} for node, metadata in said.items()
        ]
    return catalog


def test_selected_may_be_on_every_node(tap):
    catalog = catalog_with(
        tap,
        {
            "conversations": dict.fromkeys(
                ("id", "updated_at", "subject", "source.via", "tags.items.color"),
                {"selected": False},
            )
        },
    )
    run = tap.good_run(catalog=catalog)
    records, (schema,) = run.records("conversations"), run.of_type("SCHEMA", "conversations")
    assert all(record["id"] and record["updated_at"] for record in records)
    assert not any("subject" in record for record in records)
    assert all(set(record["source"]) == {"type"} for record in records)
    tags = [tag for record in records for tag in record["tags"]]
    assert tags and all(set(tag) == {"id", "tag"} for tag in tags)
    assert "subject" not in schema["schema"]["properties"]
    assert run.streams == {entry["tap_stream_id"] for entry in catalog["streams"]}


def test_what_is_unsupported_is_left_out_though_selected(tap, fake):
    unsupported = {"inclusion": "unsupported"}
    run = tap.good_run(
        catalog=catalog_with(
            tap,
            {
                "customers": {"background": unsupported, "emails.items.value": unsupported},
                "users": {"": unsupported},
            },
        )
    )
    customers = run.records("customers")
    assert customers and not any("background" in customer for customer in customers)
    emails = [email for customer in customers for email in customer.get("emails", ())]
    assert emails and not any("value" in email for email in emails)
    assert not run.of_type("SCHEMA", "users")
    assert not any(request.path == "/v2/users" for request in fake.requests)


def published_list(**properties):
    """A list as tap-helpscout 1.2.2 describes it."""
    return {
        "anyOf": [
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": properties,
                },
            },
            {"type": "null"},
        ]
    }


def published_catalog():
    """What tap-helpscout 1.2.2 and a runner that selects make of three streams: nothing deeper
    than fields in the metadata, each schema closed, some fields not there yet."""
    integer, text = {"type": ["null", "integer"]}, {"type": ["null", "string"]}
    moment = {**text, "format": "date-time"}
    parents = {
        "id": integer,
        "updated_at": moment,
        "subject": text,
        "tags": published_list(id=integer, color=text, tag=text),
    }
    threads = {
        "id": integer,
        "type": text,
        "created_at": moment,
        "conversation_id": integer,
        "attachments": published_list(id=integer, filename=text),
    }
    customers = {
        "id": integer,
        "updated_at": moment,
        "properties": published_list(type=text, name=text, value=text),
        "address": {
            "type": ["null", "object"],
            "additionalProperties": False,
            "properties": {
                "city": text,
                "lines": {
                    "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
                },
            },
        },
    }

    def entry(name, properties, *automatic):
        method = (
            {"forced-replication-method": "INCREMENTAL", "valid-replication-keys": ["updated_at"]}
            if "updated_at" in automatic
            else {"forced-replication-method": "FULL_TABLE"}
        )
        return {
            "stream": name,
            "tap_stream_id": name,
            "key_properties": ["id"],
            "schema": {"type": "object", "additionalProperties": False, "properties": properties},
            "metadata": [
                {
                    "breadcrumb": [],
                    "metadata": {
                        "table-key-properties": ["id"],
                        "inclusion": "available",
                        "selected": True,
                        **method,
                    },
                }
            ]
            + [
                {
                    "breadcrumb": ["properties", field],
                    "metadata": {
                        "inclusion": "automatic" if field in automatic else "available",
                        "selected": True,
                    },
                }
                for field in properties
            ],
        }

    return {
        "streams": [
            entry("conversations", parents, "id", "updated_at"),
            entry("conversation_threads", threads, "id"),
            entry("customers", customers, "id", "updated_at"),
        ]
    }


def test_with_a_published_catalog_all_records_are_as_their_schema_says(tap, fake):
    run, truth = tap.good_run(catalog=published_catalog()), fake.truth_counts()
    for stream in ("conversations", "conversation_threads", "customers"):
        (schema,) = run.of_type("SCHEMA", stream)
        validator = Draft4Validator(schema["schema"], format_checker=FormatChecker())
        records = run.records(stream)
        assert len(records) == truth[stream]
        for record in records:
            validator.validate(record)
    assert run.streams == {"conversations", "conversation_threads", "customers"}


def test_a_published_state_is_read_and_threads_that_it_has_no_word_of_come_whole(tap, fake):
    last = "2025-03-01T08:30:00"
    run = tap.good_run(
        catalog=published_catalog(),
        state={
            "currently_syncing": None,
            "bookmarks": {"conversations": f"{last}Z", "customers": f"{last}.000000Z"},
        },
    )
    customers = [
        customer["id"]
        for customer in fake.truth()["customers"]
        if customer["updatedAt"] >= "2025-03-01T08:20:00Z"
    ]
    assert sorted(record["id"] for record in run.records("customers")) == customers != []
    assert 0 < len(run.records("conversations")) < len(fake.conversation_ids)
    assert len(run.records("conversation_threads")) == fake.truth_counts()["conversation_threads"]
    assert "currently_syncing" not in run.state
    assert all(moment > last for moment in run.bookmarks.values())


# -- the process ----------------------------------------------------------------------------------


def test_stdin_may_be_closed(tap):
    # Whatever the tap opens first then has stdin's number.
    run = tap.good_run(preexec_fn=lambda: os.close(0), catalog=tap.select("users", "teams"))
    assert run.streams == {"users", "teams"}


@pytest.mark.parametrize("folder", ["/proc", "empty"])
def test_the_working_directory_may_be_read_only(tap, folder):
    folder = tap.folder / folder  # of which "/proc" is read-only for root too
    folder.mkdir(mode=0o555, exist_ok=True)
    if not os.access(folder, os.R_OK) or (str(folder) == "/proc" and not any(folder.iterdir())):
        pytest.skip("this system has no /proc")
    run = tap.good_run(cwd=folder, catalog=tap.select("users", "teams"))
    assert run.streams == {"users", "teams"}
    assert str(folder) == "/proc" or not any(folder.iterdir())


def test_in_a_locale_without_unicode_all_is_the_same(tap, fake):
    ascii_only = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    tap.configure(**{"größe": "größe"})
    fake.fault(403, path="teams", body={"message": "Zugriff für Büro verweigert"}, times=None)
    run = tap.run(env=ascii_only, catalog=tap.select("conversations", "teams"))
    assert run.code == 1
    assert "teams is incomplete: GET /v2/teams answered 403 (Zugriff f" in run.log
    assert {record["id"]: record["subject"] for record in run.records("conversations")} == {
        row["id"]: row["subject"] for row in fake.truth()["conversations"]
    }
    assert tap.config["größe"] == "größe"


def test_a_netrc_does_not_replace_the_token(tap, fake):
    netrc = Path(
        tap.file(
            ".netrc",
            "machine 127.0.0.1 login ada password lovelace\ndefault login ada password lovelace\n",
        )
    )
    netrc.chmod(0o600)
    tap.good_run(env={"NETRC": str(netrc)}, catalog=tap.select("users"))
    first, *others = fake.requests
    assert first.path == "/v2/oauth2/token" and "Authorization" not in first.headers
    assert others and all(
        request.headers["Authorization"].startswith("Bearer ") for request in others
    )


# -- the network ----------------------------------------------------------------------------------


class SecureFake(FakeHelpScout):
    """Behind TLS, with a certificate for localhost and HOST that an authority of ours signed."""

    def __init__(self, certificate):
        super().__init__(page_size=5)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"https://localhost:{self.port}"


class Proxy(ThreadingHTTPServer):
    """Tunnels every CONNECT to one port, and notes what was asked for."""

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.port, self.asked = port, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Tunnel(BaseHTTPRequestHandler):
    """One connection through a Proxy."""

    def do_CONNECT(self):  # pylint: disable=invalid-name  # http.server's own
        self.server.asked.append(self.path)
        with socket.create_connection(("127.0.0.1", self.server.port)) as far:
            self.send_response(200)
            self.end_headers()
            ways = {self.connection: far, far: self.connection}
            while True:
                for near in select.select(list(ways), [], [])[0]:
                    data = near.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ways[near].sendall(data)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


@pytest.fixture(name="authority", scope="module")
def _authority(tmp_path_factory):
    """The folder of a certificate authority: ca.pem, and server.pem which it has signed."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=An authority of our own",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-addext",
        "keyUsage=critical,keyCertSign",
    )
    openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    )
    (folder / "extensions").write_text(
        f"subjectAltName=DNS:localhost,DNS:{HOST}\nauthorityKeyIdentifier=keyid\n"
    )
    openssl(
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "extensions",
        "-out",
        "server.crt",
    )
    (folder / "server.pem").write_text(
        (folder / "server.key").read_text() + (folder / "server.crt").read_text()
    )
    return folder


@pytest.fixture(name="secure")
def _secure(authority, tmp_path):
    with SecureFake(authority / "server.pem") as fake:
        yield Tap(fake, tmp_path)


def network(authority=None, proxy=None):
    """An environment with nothing of the network but this; requests before 2.28 took an empty
    CURL_CA_BUNDLE for leave to trust any certificate."""
    names = (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    )
    env = {name: "" for upper in names for name in (upper, upper.lower())}
    if authority:
        env["REQUESTS_CA_BUNDLE"] = str(authority / "ca.pem")
    if proxy:
        env["HTTPS_PROXY"] = env["https_proxy"] = proxy.url
    return env


def test_a_private_authority_is_trusted_by_requests_ca_bundle(secure, authority):
    run = secure.good_run(env=network(authority))
    assert len(run.records("customers")) == len(secure.fake.customer_ids)


@pytest.mark.parametrize(
    "variables, words",
    [
        ({}, "certificate verify failed"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}, "invalid path: /nowhere/ca.pem"),
        ({"HTTPS_PROXY": "http://", "https_proxy": "http://"}, "proxy URL"),
    ],
)
def test_what_is_wrong_with_the_settings_of_the_network_is_said_at_once(secure, variables, words):
    run = secure.run(env={**network(), **variables})
    assert run.code == 1
    assert words in run.log
    assert "trying again" not in run.log and "client_secret" not in run.log
    assert not secure.fake.requests


def test_all_goes_through_the_proxy_of_the_environment(secure, authority):
    secure.configure(api_url=f"https://{HOST}")
    with Proxy(secure.fake.port) as proxy:
        run = secure.good_run(env=network(authority, proxy))
    assert len(run.records("customers")) == len(secure.fake.customer_ids)
    assert set(proxy.asked) == {f"{HOST}:443"}


def test_a_proxy_that_is_not_there_is_named(secure, authority):
    secure.configure(api_url=f"https://{HOST}", retry_seconds=1)
    with Proxy(secure.fake.port) as proxy:
        pass
    run = secure.run(env=network(authority, proxy))
    assert run.code == 1
    assert "Connection refused" in run.log
