"""httpx for the servers of the tests, which speak plain HTTP.

By default, each client of httpx reads the certificates of all authorities, which takes 25 ms of
processor time. A test that waits for a server would spend most of its wait on them.
"""

from __future__ import annotations

import ssl
from functools import partial

import httpx

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Client = partial(httpx.Client, verify=NO_AUTHORITIES)
get = partial(httpx.get, verify=NO_AUTHORITIES)
post = partial(httpx.post, verify=NO_AUTHORITIES)
put = partial(httpx.put, verify=NO_AUTHORITIES)
stream = partial(httpx.stream, verify=NO_AUTHORITIES)
