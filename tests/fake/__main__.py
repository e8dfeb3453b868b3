"""`python -m tests.fake`: a fake Help Scout for a person, or for programs in other processes."""

import argparse
import json
import signal

from tests.fake import FakeHelpScout, build


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; the first line on stdout is JSON: the URL and credentials."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake", description=main.__doc__)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    for option, kind in (
        ("latency", float),
        ("rate-limit", int),
        ("page-size", int),
        ("client-id", str),
        ("client-secret", str),
    ):
        parser.add_argument(f"--{option}", type=kind)
    options = vars(parser.parse_args())
    world = build(options.pop("conversations"), seed=options.pop("seed"))
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the first thread, which inherits it
    given = {name: value for name, value in options.items() if value is not None}
    with FakeHelpScout(world, **given) as fake:
        first_line = {
            "api_url": fake.url,
            "client_id": fake.client_id,
            "client_secret": fake.client_secret,
        }
        print(json.dumps(first_line), flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
