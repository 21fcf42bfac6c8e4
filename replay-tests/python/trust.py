"""By what a client knows its server: KEY_INFO and the anchors of docs/client-link.md, sections 2 and 3."""

import asyncio
import base64
import hashlib
import json
import re
import ssl
from urllib.parse import urlsplit

import _ssl

LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|::1)$")
PIN = re.compile(r"^sha256:([0-9a-fA-F]{64})$")


class NotTrusted(Exception):
    """The server at an address is not shown to be the one that the anchors tell of."""


class BadKey(Exception):
    """KEY_INFO can't be used. The message never quotes it: it holds a secret."""


def key_info(text):
    """Reads KEY_INFO (section 2)."""
    if len(text) >= 1024:
        raise BadKey("the key is too long")
    try:
        padded = text + "=" * (-len(text) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        version = key["v"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadKey("the key is damaged or incomplete") from error
    if version != 1:
        raise BadKey("a newer server made the key")
    try:
        urls, installer, secret = key["urls"], key["installer"], key["secret"]
        anchors = anchor_list(key["anchors"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadKey("the key is not complete") from error
    if not (isinstance(urls, list) and 1 <= len(urls) <= 4):
        raise BadKey("the key needs one to four addresses")
    if not re.fullmatch(r"[0-9A-Za-z]{32}", installer):
        raise BadKey("the installer of the key is not right")
    if not re.fullmatch(r"[0-9A-Za-z_-]{32,128}", secret):
        raise BadKey("the secret of the key is not right")
    for url in urls:
        link_url(url)
    return {"urls": urls, "installer": installer, "secret": secret, "anchors": anchors}


def anchor_list(value):
    """Reads an anchor list, from KEY_INFO or from a frame."""
    version, anchors = value["version"], value["list"]
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version < 2**53:
        raise ValueError("the version of the anchors is not right")
    if not (isinstance(anchors, list) and 1 <= len(anchors) <= 8):
        raise ValueError("there must be one to eight anchors")
    if not all(isinstance(anchor, str) for anchor in anchors):
        raise ValueError("an anchor is a text")
    return {"version": version, "list": anchors}


def link_url(url):
    """The address of the link behind an address of KEY_INFO."""
    parts = urlsplit(url) if isinstance(url, str) and len(url) <= 200 else None
    if parts is None or parts.path not in ("", "/") or parts.query or parts.fragment or not parts.hostname:
        raise BadKey("an address of the key is not right")
    if parts.scheme == "https":
        scheme = "wss"
    elif parts.scheme == "http" and LOOPBACK.match(parts.hostname):
        scheme = "ws"
    else:
        raise BadKey("an address of the key may not be used")
    return f"{scheme}://{parts.netloc}/link/v1"


async def checked(url, anchors):
    """How to connect to `url` so that the server is checked against the anchors; none for plain loopback."""
    parts = urlsplit(url)
    if parts.scheme == "ws":
        return None
    pins = {match[1].lower() for anchor in anchors["list"] if (match := PIN.match(anchor))}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # demands a certificate and checks the host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pins:
        sent = await chain_of(parts.hostname, parts.port or 443)
        system = ssl.create_default_context().get_ca_certs(binary_form=True)
        found = [der for der in [*sent[1:], *system] if pin_of(der) in pins]
        for der in found:
            context.load_verify_locations(cadata=der)
        if not found and "system" not in anchors["list"]:
            raise NotTrusted("the server shows no authority that is pinned")
        # The authority that is pinned may stand below another one: the chain ends at it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if "system" in anchors["list"]:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    elif not pins:
        raise NotTrusted("no anchor is one that this program knows")
    return context


async def chain_of(host, port):
    """The certificates that the server sends. Nothing is said on this connection, and nothing of it is believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        connection = writer.get_extra_info("ssl_object")
        if hasattr(connection, "get_unverified_chain"):
            return list(connection.get_unverified_chain())
        # Python before 3.13 has it only here.
        return [one.public_bytes(_ssl.ENCODING_DER) for one in connection._sslobj.get_unverified_chain()]
    finally:
        writer.transport.abort()


def pin_of(der):
    """SHA-256 of a certificate's SubjectPublicKeyInfo; none where the certificate can't be read."""
    try:
        certificate, _ = element(der, 0)
        inner, _ = element(der, certificate)
        # version (may be left out), serial number, signature, issuer, validity, subject, and then the key.
        at = inner
        if der[at] == 0xA0:
            _, at = element(der, at)
        for _ in range(5):
            _, at = element(der, at)
        _, end = element(der, at)
    except IndexError:
        return None
    return hashlib.sha256(der[at:end]).hexdigest()


def element(der, at):
    """Where the content of the DER element at `at` begins, and where it ends."""
    length, content = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[content : content + size], "big")
        content += size
    if content + length > len(der):
        raise IndexError("cut off")
    return content, content + length
