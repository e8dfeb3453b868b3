"""The proxy of the environment: whether its URL can be used, and the password in it."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

import urllib3
from requests.utils import select_proxy

from tap_helpscout.files import ConfigError
from tap_helpscout.redaction import Redactor

# Our choice: a shorter one is part of many words, and to hide it in these would show it
SHORTEST_PASSWORD = 4


def check_proxy(api_url: str, proxies: Mapping[str, str], redactor: Redactor) -> None:
    """Hides the password of the proxy's URL from the log, where it is known to be one.

    Raises ConfigError for a URL that cannot be used, for what then fails repeats parts of it, with
    the password in them.
    """
    proxy = select_proxy(api_url, proxies)
    if not proxy:
        return
    user_info = proxy.rpartition("@")[0].rpartition("//")[2]
    password = user_info.partition(":")[2]
    redactor.add(user_info, unquote(user_info))
    if len(password) >= SHORTEST_PASSWORD:
        redactor.add(password, unquote(password))
    try:
        url = proxy if "//" in proxy else f"http://{proxy}"
        is_usable = bool(urllib3.util.parse_url(url).host) and not re.search(r"\s", url)
    except (TypeError, ValueError, urllib3.exceptions.HTTPError):
        is_usable = False
    if not is_usable:
        raise ConfigError(
            "the proxy URL in the environment (HTTPS_PROXY or ALL_PROXY) cannot be used: it "
            "must look like http://host:port or http://user:password@host:port, with special "
            "characters of the password percent-encoded"
        )
