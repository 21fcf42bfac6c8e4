"""A mail server in a process of its own, on aiosmtpd, for the tests.

It prints a line of JSON for its port, one for each mail it took and one for each time it was difficult. How difficult it is
depends on the recipient: what stands before the @, up to the first dot.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword


def tell(**members):
    print(json.dumps(members), flush=True)


class Behaviour:
    """What becomes of each mail."""

    def __init__(self):
        self.times = {}

    def count(self, what):
        self.times[what] = self.times.get(what, 0) + 1
        return self.times[what]

    async def handle_RCPT(self, server, session, envelope: Envelope, address, options):
        manner = address.split("@")[0].split(".")[0]
        times = self.count(address)
        if manner == "refused":
            tell(difficult="refused", to=address)
            return "550 no such user here"
        if manner == "greylisted" and times == 1:
            tell(difficult="greylisted", to=address)
            return "450 come back later"
        if manner == "silent":
            tell(difficult="silent", to=address)
            await asyncio.sleep(3600)
        if manner == "shouts":
            tell(difficult="shouts", to=address)
            try:
                for _ in range(10_000):
                    server.transport.write(b"2" * 10_000)
                    await asyncio.sleep(0)
            finally:
                server.transport.abort()
            return "250 ok"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope: Envelope):
        address = envelope.rcpt_tos[0]
        manner = address.split("@")[0].split(".")[0]
        times = self.count("data " + address)
        if manner == "dies" and times == 1:
            tell(difficult="dies", to=address)
            server.transport.abort()
            return "451 gone"
        if manner == "repeats":
            body = email.message_from_bytes(envelope.content, policy=email.policy.default).get_content()
            token = body.split("/approve/")[1].split('"')[0].split("/")[1]
            tell(difficult="repeats", to=address, token=token)
            return "554 I do not like " + token
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        tell(
            mail={
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "headers": {name.lower(): str(value) for name, value in message.items()},
                "subject": str(message["subject"]),
                "message_id": str(message["message-id"]),
                "body": message.get_content(),
                "encrypted": server.transport.get_extra_info("ssl_object") is not None,
                "user": getattr(session.auth_data, "login", b"").decode() or None,
            }
        )
        return "250 taken"


def authenticator(user):
    def check(server, session, envelope, mechanism, auth_data):
        given = isinstance(auth_data, LoginPassword) and (
            auth_data.login.decode() + ":" + auth_data.password.decode()
        )
        if given != user:
            tell(difficult="signing in")
        return AuthResult(success=given == user, handled=False, auth_data=auth_data)

    return check


async def inject(reader, writer):
    """Says more than it was asked before the connection is encrypted, as a stranger on the way could."""
    writer.write(b"220 mail\r\n")
    await reader.readline()
    writer.write(b"250-mail\r\n250 STARTTLS\r\n")
    await reader.readline()
    writer.write(b"220 go ahead\r\n250-mail\r\n250 AUTH PLAIN\r\n")
    await writer.drain()
    rest = await reader.read(1)
    tell(difficult="injected", answered=bool(rest))
    writer.close()


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--mode", choices=["none", "starttls", "tls", "inject"], default="none")
    arguments.add_argument("--certificate")
    arguments.add_argument("--key")
    arguments.add_argument("--user", help="NAME:PASSWORD that must be shown")
    arguments.add_argument("--port", type=int, default=0)
    given = arguments.parse_args()
    context = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate, given.key)
    behaviour = Behaviour()

    def protocol():
        return SMTP(
            behaviour,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=context if given.mode == "starttls" else None,
            require_starttls=given.mode == "starttls",
            auth_required=given.user is not None,
            authenticator=authenticator(given.user) if given.user else None,
            auth_require_tls=given.mode == "starttls",
            loop=asyncio.get_running_loop(),
        )

    loop = asyncio.get_running_loop()
    if given.mode == "inject":
        server = await asyncio.start_server(inject, "127.0.0.1", given.port)
    else:
        encrypted = context if given.mode == "tls" else None
        server = await loop.create_server(protocol, "127.0.0.1", given.port, ssl=encrypted)
    tell(port=server.sockets[0].getsockname()[1])
    # Ends with whoever started it.
    await loop.run_in_executor(None, __import__("sys").stdin.read)


asyncio.run(main())
