"""The only maker of PycURL's handles, and what libcurl's codes mean.

Certificates and host names are checked with certifi's bundle: libcurl finds none in a slim
container, and does not read SSL_CERT_FILE. Redirects are not followed.
"""

from typing import NamedTuple

import certifi
import pycurl

from ingest.errors import WeatherError
from ingest.openweathermap.retry import ADVICE

CONNECT_TIMEOUT_S = 5.0


def new_handle(url: str, timeout_s: float, ca_file: str | None = None) -> pycurl.Curl:
    """A handle for this URL, or another of the same scheme, and for no other protocol.

    timeout_s: time limit for one request, from its start to the last byte of its reply.
    ca_file: authorities in PEM; None: certifi's.
    """
    curl = pycurl.Curl()
    is_plain = url.startswith("http:")
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP if is_plain else pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.CAINFO, ca_file or certifi.where())
    curl.setopt(pycurl.SSL_VERIFYPEER, 1)
    curl.setopt(pycurl.SSL_VERIFYHOST, 2)
    curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    curl.setopt(pycurl.NOSIGNAL, 1)
    timeout_ms = max(1, int(timeout_s * 1000))
    curl.setopt(pycurl.TIMEOUT_MS, timeout_ms)
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, min(int(CONNECT_TIMEOUT_S * 1000), timeout_ms))
    curl.setopt(pycurl.USERAGENT, "ingest-weather")
    if is_plain:
        curl.setopt(pycurl.PROXY, "")  # http_proxy would take secrets off this machine
    return curl


class CurlError(NamedTuple):
    """What a code of libcurl means here. permanent: asking again at once does not help.
    advice: "" is ADVICE if it can pass."""

    what: str
    permanent: bool = False
    advice: str = ""


CURL_ERRORS = {
    1: CurlError("the protocol of OPENWEATHERMAP_URL is not allowed here", permanent=True),
    3: CurlError("OPENWEATHERMAP_URL is malformed", permanent=True),
    4: CurlError("this libcurl lacks a needed feature", True, "Install pycurl again."),
    5: CurlError("the proxy's name could not be resolved", advice="Check https_proxy."),
    6: CurlError("the host name could not be resolved"),
    7: CurlError("the connection was refused or found no route"),
    8: CurlError("the server does not speak HTTP"),
    16: CurlError("the HTTP/2 connection failed"),
    18: CurlError("the reply ended before its announced length"),
    23: CurlError("the reply is too large to be weather, and was cut off", permanent=True),
    27: CurlError("this machine is out of memory"),
    28: CurlError("no complete reply came within the time limit (WEATHER_TIMEOUT_SECONDS)"),
    35: CurlError("the TLS handshake failed", advice="Check for a proxy that opens TLS."),
    47: CurlError("the server redirects, which is not followed", permanent=True),
    52: CurlError("the server closed the connection without a reply"),
    55: CurlError("the request could not be sent"),
    56: CurlError("the connection broke while the reply was read"),
    58: CurlError("the local TLS certificate is unusable", permanent=True),
    59: CurlError("the server offers no acceptable TLS cipher", permanent=True),
    60: CurlError(
        "the server's certificate is not valid for this host, or not signed by an authority of "
        "certifi's bundle, so the key was not sent",
        permanent=True,
        advice="Check for a proxy that opens TLS, and this machine's clock.",
    ),
    61: CurlError("the reply's content encoding is broken"),
    63: CurlError("the reply is too large to be weather, and was not read", permanent=True),
    100: CurlError("the reply's headers are too large, and were not read", permanent=True),
    77: CurlError(
        "certifi's bundle of authorities cannot be read",
        permanent=True,
        advice="Install certifi again.",
    ),
    90: CurlError("the server's public key is not the pinned one", permanent=True),
    91: CurlError("the server's certificate status is invalid", permanent=True),
}
# What can pass: TLS engine and shutdown, a socket not ready.
_PASSING = CurlError("the connection failed")
CURL_ERRORS |= dict.fromkeys((2, 53, 54, 64, 65, 66, 80, 81, 89), _PASSING)
# HTTP/2 and HTTP/3: a stream or connection that was reset. PycURL has no names for these yet.
CURL_ERRORS |= dict.fromkeys((92, 95, 96, 97, 99), _PASSING)
# Files, logins and callbacks, which are not used.
_UNFORESEEN = CurlError("libcurl failed in an unexpected way", permanent=True)
CURL_ERRORS |= dict.fromkeys((21, 22, *range(24, 27), 33, 34, 36, 37), _UNFORESEEN)
CURL_ERRORS |= dict.fromkeys((*range(40, 47), 48, 57, 67, 75, 76, 78, 82, 83, 88), _UNFORESEEN)
# FTP, LDAP, Telnet, TFTP, SSH and RTSP.
_SWITCHED_OFF = CurlError("libcurl used a protocol that is switched off", permanent=True)
CURL_ERRORS |= dict.fromkeys((*range(9, 16), 17, 19, 20, *range(29, 33), 38, 39), _SWITCHED_OFF)
CURL_ERRORS |= dict.fromkeys((49, 62, *range(68, 75), 79, *range(84, 88)), _SWITCHED_OFF)


def curl_error(code: int, url: str, host: str) -> WeatherError:
    """The error for one of libcurl's codes. Neither it nor its cause shows the URL."""
    if code == pycurl.E_UNSUPPORTED_PROTOCOL and url.startswith(("http:", "https:")):
        code = pycurl.E_FTP_WEIRD_SERVER_REPLY  # libcurl's other code for what is not HTTP
    error = CURL_ERRORS.get(code, CurlError("libcurl failed", permanent=True))
    return WeatherError(
        f"asking {host} failed: {error.what} (curl {code}).",
        error.advice or ("" if error.permanent else ADVICE),
        permanent=error.permanent,
        kind="time-out" if code == pycurl.E_OPERATION_TIMEDOUT else "network error",
    )
