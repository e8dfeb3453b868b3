"""Starts the published tap against another API: `python published.py URL ARGUMENTS`.

Its API's address is part of its code; here it is replaced in each request on its way out.
"""

import sys

import requests

from tap_helpscout import main

API = "https://api.helpscout.net"


def redirect(url):
    """Sends what is meant for Help Scout to this URL."""
    usual = requests.Session.request

    def request(self, method, address, *args, **kwargs):
        return usual(self, method, address.replace(API, url, 1), *args, **kwargs)

    requests.Session.request = request


if __name__ == "__main__":
    redirect(sys.argv.pop(1))
    main()
