"""A Jump Client, written from docs/client-link.md alone: the page is complete if this works.

Run it as `client.py --key KEY_INFO --state FOLDER`. SIGTERM says goodbye; SIGUSR1 is the user at the machine who ends
all sessions, SIGUSR2 the one who uninstalls it. It prints one line of JSON for everything that happens; no line holds a
secret. It stays connected where it is told to be passive.

Ends with 0 after a goodbye or when it took itself off the machine, with 3 after a final refusal, and with 2 where it
can't start.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import random
import secrets
import signal
import ssl
import sys
import time

import websockets
from websockets.asyncio.client import connect

import frames
import machine
import trust

CONNECT_WITHIN = 30
WELCOME_WITHIN = 30
GOODBYE_WITHIN = 5
ONLINE_LONG_ENOUGH = 60
PAUSE_MAX = 300
DAY = 86_400
SESSIONS_MAX = 64
CHECK_INS_WAITING_MAX = 8
LOOK_AT_FACTS_EVERY = 5
# How often the site must be out of reach before the client goes for good.
TRIES_MIN = 3


def tell(what, **members):
    print(json.dumps({"what": what, **members}), flush=True)


class Failed(Exception):
    """A try failed or a link broke; `hint` seconds is what the server asked for."""

    def __init__(self, reason, hint=None):
        super().__init__(reason)
        self.hint = hint


class Final(Exception):
    """The server wants no more tries until a person does something."""


class Removed(Exception):
    """The client takes itself off the machine."""


class Straight(connect):
    """Connects where it is told to: an answer other than 101 is a failed try, a redirect as well."""

    def process_redirect(self, exc):
        return exc


class Store:
    """The state folder: who this client is. It belongs to one process."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = open(self.folder / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.file = self.folder / "identity.json"
        self.state = json.loads(self.file.read_text()) if self.file.exists() else {}

    def keep(self, **changes):
        """Written beside, synced, renamed over the old one, and the folder synced (section 7)."""
        state = {name: value for name, value in {**self.state, **changes}.items() if value is not None}
        beside = self.folder / "identity.json.new"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.file)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.state = state

    def forget(self):
        """Nothing of the identity stays on the machine."""
        self.file.unlink(missing_ok=True)
        self.state = {}


class Client:
    def __init__(self, arguments):
        self.arguments = arguments
        self.store = Store(arguments.state)
        self.key = trust.key_info(arguments.key) if arguments.key else None
        urls = arguments.server or (self.key["urls"] if self.key else None) or self.store.state.get("urls")
        if not urls or not (self.key or "token" in self.store.state):
            raise trust.BadKey("neither a key nor an identity")
        self.urls = urls
        self.boot_id = secrets.token_hex(16)
        self.sessions = {}
        self.stopping = asyncio.Event()
        self.uninstalling = False
        self.ending = asyncio.Event()
        self.failures = 0
        # When to check in next, whatever connections come and go until then (section 5); by time.monotonic().
        self.check_in_due = None
        # A server refused or asked for patience since the client last was online.
        self.answered = False
        # When tries failed since then.
        self.out_of_reach = []

    # --- finding the server (sections 3, 8 and 9) ---

    async def live(self):
        tries = 0
        while not self.stopping.is_set():
            link, hint = Link(self), None
            try:
                await self.once(link, trust.link_url(self.urls[tries % len(self.urls)]))
                self.store.keep(last_online=time.time())
                return
            except Failed as failed:
                hint = failed.hint
                tell("failed", reason=str(failed), hint=hint)
                self.remove_if_forgotten(link)
            tries += 1
            long_enough = link.online_since and time.monotonic() - link.online_since >= ONLINE_LONG_ENOUGH
            self.failures = 1 if long_enough else self.failures + 1
            await self.pause(hint)

    def remove_if_forgotten(self, link):
        """Whether the site was out of reach for as long as it last allowed (section 8)."""
        if link.online_since is not None:
            self.store.keep(last_online=time.time())
        elif link.was_answered:
            self.answered = True
        settings, last = self.store.state.get("settings"), self.store.state.get("last_online")
        if settings is None or last is None or self.answered or link.online_since is not None:
            self.out_of_reach = []
            return
        self.out_of_reach.append(time.monotonic())
        if len(self.out_of_reach) < TRIES_MIN or time.monotonic() - self.out_of_reach[0] < self.arguments.trying_seconds:
            return
        if time.time() - last >= settings["remove_after_minutes"] * 60:
            raise Removed("the site was out of reach for too long")

    async def pause(self, hint):
        longest = min(PAUSE_MAX, 2 ** min(self.failures - 1, 20))
        pause = longest * random.uniform(0.5, 1)
        if hint is not None:
            pause = max(pause, hint + random.uniform(0, hint / 2))
        tell("pausing", seconds=round(min(pause, DAY), 3))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(pause, DAY)):
                await self.stopping.wait()

    def anchors(self):
        held = self.store.state.get("anchors")
        given = self.key and self.key["anchors"]
        return max((one for one in (held, given) if one), key=lambda one: one["version"])

    async def once(self, link, url):
        """One connection, from its first byte to its end; returns after a goodbye."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                context = await trust.checked(url, self.anchors())
                socket = await Straight(
                    url,
                    ssl=context,
                    compression=None,
                    proxy=None,
                    ping_interval=None,
                    open_timeout=None,
                    close_timeout=GOODBYE_WITHIN,
                    max_size=frames.FRAME_BYTES_MAX,
                )
        except websockets.InvalidStatus as refused:
            wait = refused.response.headers.get("Retry-After", "")
            raise Failed(f"status {refused.response.status_code}", int(wait) if wait.isdigit() else None) from refused
        except (OSError, TimeoutError, ssl.SSLError, websockets.WebSocketException, trust.NotTrusted) as error:
            raise Failed(f"no connection: {type(error).__name__}: {error}") from error
        try:
            await link.talk(socket)
        except frames.Broken as broken:
            await socket.close(broken.code, broken.reason)
            raise Failed(f"the server broke the page: {broken.reason}") from broken
        except websockets.ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            tell("closed", code=code)
            if link.said_goodbye:
                return
            if link.refused and link.refused["final"]:
                if link.refused["code"] == "client_removed" and link.protocol >= 2:
                    raise Removed("the site removed it") from closed
                raise Final(link.refused["code"]) from closed
            raise Failed(f"closed with {code}", link.hint) from closed
        finally:
            await socket.close()

    def statistics(self):
        settings = self.store.state.get("settings")
        return settings and settings["statistics"]

    def hello_identity(self):
        state = self.store.state
        if "token" in state:
            return {"resume": {"client_id": state["client_id"], "token": state["token"]}}
        if "attempt" not in state:
            self.store.keep(attempt=secrets.token_hex(16))
        register = {
            "installer_id": self.key["installer"],
            "secret": self.key["secret"],
            "attempt": self.store.state["attempt"],
        }
        return {"register": register}


class Link:
    """One connection that stands."""

    def __init__(self, client):
        self.client = client
        self.socket = None
        self.online_since = None
        self.refused = None
        self.hint = None
        self.heartbeat = None
        self.check_in_seconds = None
        self.sequence = 0
        # The last check-in that was sent because it was due, and when.
        self.due_sent = None
        self.waiting = set()
        self.sent_facts = {}
        self.said_goodbye = False
        self.was_answered = False
        # What this program speaks at best, until the server has chosen.
        self.protocol = max(client.arguments.protocol)

    async def talk(self, socket):
        self.socket = socket
        self.sent_facts = self.facts()
        identity = self.client.hello_identity()
        hello = {
            "protocols": self.client.arguments.protocol,
            "agent_version": "python-1",
            "boot_id": self.client.boot_id,
            "identity": identity,
            "facts": self.sent_facts,
            "sessions": list(self.client.sessions),
        }
        await self.say("hello", **hello)
        await self.be_welcomed()
        tell("online", how=next(iter(identity)), client_id=self.client.store.state["client_id"])
        tasks = [asyncio.create_task(work) for work in (self.hear_all(), self.check_in_often(), self.obey_signals())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def say(self, kind, **members):
        await self.socket.send(frames.write(kind, **members))

    def facts(self):
        facts = machine.facts(self.client.arguments, self.client.statistics())
        if self.socket and self.socket.local_address:
            facts["private_ip"] = self.socket.local_address[0]
        return facts

    # --- welcome or refused (section 6) ---

    async def be_welcomed(self):
        try:
            async with asyncio.timeout(WELCOME_WITHIN):
                kind, frame = frames.read(await self.socket.recv(), self.protocol)
        except TimeoutError as error:
            raise Failed("neither welcome nor refused") from error
        self.was_answered = kind in ("refused", "retry_later")
        if kind == "refused":
            await self.be_refused(frame)
        if kind == "retry_later":
            await self.wait_for_close(frame)
        if kind != "welcome":
            raise frames.Broken(4405, "a frame before welcome")
        store = self.client.store
        self.protocol = frame["protocol"]
        self.client.answered = False
        if self.protocol not in self.client.arguments.protocol:
            raise frames.Broken(4400, "a protocol that was not offered")
        if "token" not in store.state and frame["token"] is None:
            raise frames.Broken(4400, "no token after a registration")
        if store.state.get("client_id") not in (None, frame["client_id"]):
            raise frames.Broken(4400, "another client's number")
        self.online_since = time.monotonic()
        self.heartbeat = frame["heartbeat_seconds"]
        self.check_in_seconds = frame["check_in_seconds"]
        if frame["token"] is not None:
            store.keep(client_id=frame["client_id"], token=frame["token"], attempt=None, urls=self.client.urls)
            await self.say("token_stored")
        await self.keep_anchors(frame["anchors"])
        client, now = self.client, time.monotonic()
        if frame["check_in_now"]:
            client.check_in_due = now
        latest = now + self.check_in_seconds
        client.check_in_due = min(latest if client.check_in_due is None else client.check_in_due, latest)

    async def be_refused(self, frame):
        self.refused = frame
        after = frame["retry_after_ms"]
        self.hint = None if after is None else after / 1000
        tell("refused", code=frame["code"], final=frame["final"])
        await self.until_closed()

    async def wait_for_close(self, frame):
        self.hint = frame["after_ms"] / 1000
        tell("retry_later", seconds=self.hint)
        await self.until_closed()

    async def until_closed(self):
        """The server closes after its last frame; `recv` raises what the close says."""
        while True:
            async with asyncio.timeout(WELCOME_WITHIN):
                await self.socket.recv()

    async def keep_anchors(self, anchors):
        if anchors["version"] > self.client.anchors()["version"] or "anchors" not in self.client.store.state:
            newest = max(anchors, self.client.anchors(), key=lambda one: one["version"])
            self.client.store.keep(anchors=newest)
        await self.say("anchors_stored", version=self.client.anchors()["version"])

    # --- what the server sends ---

    async def hear_all(self):
        while True:
            try:
                async with asyncio.timeout(self.heartbeat * 2.5):
                    message = await self.socket.recv()
            except TimeoutError as error:
                raise Failed("the server is silent") from error
            await self.hear(*frames.read(message, self.protocol))

    async def hear(self, kind, frame):
        if kind == "ping":
            await self.say("pong", nonce=frame["nonce"])
        elif kind == "check_in_recorded":
            self.waiting.discard(frame["sequence"])
            if self.due_sent and self.due_sent[0] <= frame["sequence"]:
                self.client.check_in_due = self.due_sent[1] + self.check_in_seconds
                self.due_sent = None
            self.client.store.keep(last_online=time.time())
            tell("checked_in", sequence=frame["sequence"])
        elif kind == "start_session":
            await self.start_session(frame)
        elif kind == "end_session":
            await self.end_session(frame["lsid"])
        elif kind == "settings":
            self.client.store.keep(settings=frame, last_online=time.time())
            self.check_in_seconds = frame["check_in_seconds"]
            tell("settings", **frame)
        elif kind == "rotate_token":
            self.client.store.keep(token=frame["token"])
            await self.say("token_stored")
        elif kind == "anchors":
            await self.keep_anchors(frame)
        elif kind == "refused":
            await self.be_refused(frame)
        elif kind == "retry_later":
            await self.wait_for_close(frame)
        else:
            raise frames.Broken(4405, f"{kind} may not be sent now")

    async def start_session(self, frame):
        lsid, sessions = frame["lsid"], self.client.sessions
        if lsid in sessions:
            await self.say("session_started", lsid=lsid)
        elif self.client.arguments.disabled:
            await self.say("session_failed", lsid=lsid, reason="client_disabled", detail="Switched off by option.")
        elif len(sessions) >= SESSIONS_MAX:
            await self.say("session_failed", lsid=lsid, reason="too_many_sessions")
        else:
            sessions[lsid] = frame["user_display_name"]
            await self.say("session_started", lsid=lsid)
            tell("session_started", lsid=lsid)

    async def end_session(self, lsid):
        known = self.client.sessions.pop(lsid, None) is not None
        await self.say("session_ended", lsid=lsid, reason="asked" if known else "unknown_session")
        tell("session_ended", lsid=lsid, known=known)

    # --- what the client does by itself ---

    async def check_in_often(self):
        due = self.client.check_in_due
        while True:
            await asyncio.sleep(min(LOOK_AT_FACTS_EVERY, max(0, due - time.monotonic())))
            now = self.facts()
            changed = {name: value for name, value in now.items() if self.sent_facts.get(name) != value}
            changed |= {name: "" for name, value in self.sent_facts.items() if name not in now and isinstance(value, str)}
            if (changed or time.monotonic() >= due) and len(self.waiting) < CHECK_INS_WAITING_MAX:
                self.sent_facts = now
                await self.check_in(changed)
                if time.monotonic() >= due:
                    self.due_sent = (self.sequence, time.monotonic())
                    due = time.monotonic() + self.check_in_seconds

    async def check_in(self, changed):
        self.sequence += 1
        self.waiting.add(self.sequence)
        await self.say("check_in", sequence=self.sequence, facts=changed, figures=machine.figures(self.client.statistics()))

    async def obey_signals(self):
        client = self.client
        while not client.stopping.is_set():
            asked = [asyncio.create_task(event.wait()) for event in (client.stopping, client.ending)]
            try:
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in asked:
                    task.cancel()
            client.ending.clear()
            reason = "stopping" if client.stopping.is_set() else "ended_at_endpoint"
            for lsid in list(client.sessions):
                del client.sessions[lsid]
                await self.say("session_ended", lsid=lsid, reason=reason)
        self.said_goodbye = True
        # Protocol 1 has no word for being taken off the machine.
        await self.say("uninstalling" if client.uninstalling and self.protocol >= 2 else "goodbye")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_WITHIN):
                await self.socket.wait_closed()


async def run(arguments):
    client = Client(arguments)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, client.stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, client.ending.set)

    def uninstall():
        client.uninstalling = True
        client.stopping.set()

    loop.add_signal_handler(signal.SIGUSR2, uninstall)
    try:
        await client.live()
        if client.uninstalling:
            raise Removed("the user at the machine did it")
    except Final as final:
        tell("stopped", code=str(final))
        return 3
    except Removed as removed:
        client.store.forget()
        tell("removed", why=str(removed))
    return 0


def main():
    parser = argparse.ArgumentParser(description="A Jump Client in Python.")
    parser.add_argument("--key", help="KEY_INFO of an installer; not needed once there is an identity")
    parser.add_argument("--state", required=True, help="folder of the identity")
    parser.add_argument("--server", action="append", help="address instead of those of the key")
    parser.add_argument("--hostname", help="instead of the machine's own")
    parser.add_argument("--console-user", default="", help="file that says who is logged on at the machine")
    parser.add_argument("--protocol", type=int, action="append", help="speak only this one; may come again")
    parser.add_argument("--disabled", action="store_true", help="the user has switched the client off")
    parser.add_argument("--trying-seconds", type=float, default=120, help="how long the site must be out of reach at least")
    arguments = parser.parse_args()
    arguments.protocol = arguments.protocol or [2, 1]
    try:
        return asyncio.run(run(arguments))
    except (trust.BadKey, BlockingIOError) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
