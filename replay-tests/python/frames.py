"""Frames of the client link: reading what the server sends (docs/client-link.md, sections 4, 6 and 10)."""

import json
import re

import trust

FRAME_BYTES_MAX = 65_536
NUMBER_MAX = 2**53 - 1
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
LSID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CODE = re.compile(r"[a-z0-9_]{1,64}")
SECRET = re.compile(r"[A-Za-z0-9_-]{32,128}")


class Broken(Exception):
    """A frame breaks the page; the link is closed with `code`."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code
        self.reason = reason


def number(least, most):
    def check(value):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise Broken(4400, "a number is not right")
        if value > most:
            raise Broken(4413, "a number is too large")
        return value

    return check


def text(most):
    def check(value):
        if not isinstance(value, str) or CONTROL.search(value):
            raise Broken(4400, "a text is not right")
        if len(value) > most:
            raise Broken(4413, "a text is too long")
        return value

    return check


def matching(pattern, most):
    def check(value):
        if not isinstance(value, str):
            raise Broken(4400, "a text is missing")
        if len(value) > most:
            raise Broken(4413, "a text is too long")
        if not pattern.fullmatch(value):
            raise Broken(4400, "a text is not right")
        return value

    return check


def truth(value):
    if not isinstance(value, bool):
        raise Broken(4400, "neither true nor false")
    return value


def anchors(value):
    try:
        return trust.anchor_list(value)
    except (KeyError, TypeError, ValueError) as error:
        raise Broken(4400, "the anchors are not right") from error


def codes(most):
    def check(value):
        if not isinstance(value, list):
            raise Broken(4400, "a list is missing")
        if len(value) > most:
            raise Broken(4413, "a list is too long")
        return [matching(CODE, 64)(code) for code in value]

    return check


DAY_MS = 86_400_000
ID = number(1, NUMBER_MAX)
TOKEN = matching(SECRET, 128)
SESSION = matching(LSID, 64)

# The lowest protocol that has a type, where that is not the first.
SINCE = {"settings": 2}

# type: members that must be there, members that may be
KNOWN = {
    "welcome": (
        {
            "protocol": number(1, 65_535),
            "client_id": ID,
            "heartbeat_seconds": number(1, 300),
            "check_in_seconds": number(1, 604_800),
            "check_in_now": truth,
            "anchors": anchors,
            "site_time_ms": number(0, NUMBER_MAX),
        },
        {"token": TOKEN},
    ),
    "refused": (
        {"code": matching(CODE, 64), "message": text(1024), "final": truth},
        {"retry_after_ms": number(0, DAY_MS)},
    ),
    "settings": (
        {
            "check_in_seconds": number(1, 604_800),
            "statistics": codes(16),
            "remove_after_minutes": number(1, 5_256_000),
        },
        {"passive": truth},
    ),
    "check_in_recorded": ({"sequence": ID}, {}),
    "start_session": (
        {"lsid": SESSION, "user_display_name": text(255), "answer_within_ms": number(0, DAY_MS)},
        {},
    ),
    "end_session": ({"lsid": SESSION, "reason": text(255)}, {}),
    "rotate_token": ({"token": TOKEN}, {}),
    "anchors": ({}, {}),
    "ping": ({"nonce": number(0, NUMBER_MAX)}, {}),
    "retry_later": ({"after_ms": number(0, DAY_MS)}, {}),
}


def read(message, protocol):
    """A frame of the server in the protocol that was agreed: its type, and its members without those that are not known."""
    if isinstance(message, bytes):
        raise Broken(1003, "a binary frame")
    try:
        frame = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise Broken(4400, "not JSON") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise Broken(4400, "no object with a type")
    kind = frame["type"]
    if kind not in KNOWN or SINCE.get(kind, 1) > protocol:
        raise Broken(4404, f"a type that protocol {protocol} does not have")
    if kind == "anchors":
        return kind, anchors(frame)
    needed, optional = KNOWN[kind]
    members = {}
    for name, check in needed.items():
        if frame.get(name) is None:
            raise Broken(4400, f"{kind} without {name}")
        members[name] = check(frame[name])
    for name, check in optional.items():
        value = frame.get(name)
        members[name] = None if value is None else check(value)
    return kind, members


def write(kind, **members):
    """A frame for the server."""
    return json.dumps({"type": kind, **members}, ensure_ascii=False, separators=(",", ":"))
