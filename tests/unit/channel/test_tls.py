# SPDX-License-Identifier: Apache-2.0
"""TLS over pyOpenSSL: blocking sockets, asyncio's memory buffers, exporters, binders."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from accord.channel import PinnedContext, ServerContext, Side, TLSIdentity, binder
from accord.channel._openssl import TLSObject, TLSSocket, client_context
from accord.errors import ChannelLevelError

LARGE = 5 << 20


@pytest.fixture(scope="module")
def identity() -> TLSIdentity:
    return TLSIdentity.generate()


@contextmanager
def connected(identity: TLSIdentity) -> Iterator[tuple[TLSSocket, TLSSocket]]:
    """Both ends of one connection; client first."""
    accepted: list[TLSSocket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.settimeout(20)

        def serve() -> None:
            plain, _ = listener.accept()
            plain.settimeout(20)
            accepted.append(identity.server_context().wrap_socket(plain, server_side=True))

        thread = threading.Thread(target=serve)
        thread.start()
        plain = socket.create_connection(listener.getsockname(), timeout=20)
        client = stack.enter_context(closing(PinnedContext().wrap_socket(plain)))
        client.sendall(b"hello")  # The end of its handshake goes with it.
        thread.join()
        server = stack.enter_context(closing(accepted[0]))
        assert server.recv(5) == b"hello"
        yield client, server


@contextmanager
def serving(context: ServerContext) -> Iterator[socket.socket]:
    """A plain socket to a server that expects its client to give up in the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with suppress(OSError):
                context.wrap_socket(plain, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=20) as plain:
            yield plain
        thread.join()


def test_bytes_arrive_as_they_were_sent(identity: TLSIdentity) -> None:
    """Five mebibytes go through in each direction, through a file and in pieces."""
    data = os.urandom(LARGE)
    with connected(identity) as (client, server):
        for source, sink in ((client, server), (server, client)):
            thread = threading.Thread(target=source.sendall, args=(data,))
            thread.start()
            with sink.makefile("rb") as file:
                assert file.read(LARGE) == data
            thread.join()
        client.sendall(b"")
        client.sendall(b"x")
        assert server.recv(100) == b"x"


def test_the_pin_is_the_servers_key(identity: TLSIdentity) -> None:
    """The key that the handshake proved is the one that is pinned."""
    with connected(identity) as (client, server):
        assert client.tls.peer_certificate() == identity.certificate
        assert server.tls.peer_certificate() is None
        server.tls.getpeercert()
        server.tls.compression()
        cipher, version, bits = server.tls.cipher()
        assert (version, bits) in (("TLSv1.3", 256), ("TLSv1.3", 128))
        assert cipher is not None


def test_both_ends_export_the_same_and_nobody_else_does(identity: TLSIdentity) -> None:
    """A binder is one connection's, one direction's and one nonce's, and both ends know it."""
    seen = set()
    with connected(identity) as first, connected(identity) as second:
        for ends, side, nonce in itertools.product((first, second), Side, (bytes(32), b"\1" * 32)):
            ours, theirs = (binder(end.tls, side, nonce) for end in ends)
            assert ours == theirs
            assert len(ours) == 32
            seen.add(ours)

    assert len(seen) == 8


def test_without_an_exporter_there_is_no_binder() -> None:
    """Where TLS ended before it reached us, level 2 is refused, never passed over."""
    with pytest.raises(ChannelLevelError):
        binder(None, Side.SERVER, bytes(32))


def test_a_peer_that_says_goodbye_ends_the_stream(identity: TLSIdentity) -> None:
    """After close_notify there is nothing more to read, and that is no error."""
    with connected(identity) as (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            server.tls.unwrap()
        server.sendall(b"")
        assert client.recv(10) == b""


def test_a_peer_that_just_stops_is_an_error(identity: TLSIdentity) -> None:
    """An end that nobody announced may be an attacker's: it is not taken for the peer's."""
    with connected(identity) as (client, server):
        server.close()
        with pytest.raises(ConnectionResetError, match="in mid connection"):
            client.recv(10)


def test_a_silent_peer_is_not_waited_for_for_ever(identity: TLSIdentity) -> None:
    """The timeout of the plain socket holds for the TLS connection."""
    with connected(identity) as (client, _server):
        assert client.gettimeout() == 20
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\x00"])
def test_what_is_no_tls_is_refused(answer: bytes) -> None:
    """A peer that speaks something else is refused in the handshake, and the socket is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = socket.create_connection(listener.getsockname(), timeout=20)
        other, _ = listener.accept()
        with other:
            other.sendall(answer)
            other.shutdown(socket.SHUT_WR)
            with pytest.raises(OSError, match=r"."):
                PinnedContext().wrap_socket(plain)

    assert plain.fileno() == -1


def test_a_record_that_was_changed_is_refused(identity: TLSIdentity) -> None:
    """A flipped bit on the way ends the connection for its reader."""
    with connected(identity) as (client, server):
        with socket.socket(fileno=os.dup(client.fileno())) as wire:
            wire.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError):
            server.recv(10)
        with pytest.raises(ssl.SSLError, match="bad record mac"):
            client.recv(10)


def test_another_key_than_the_pinned_one_ends_in_the_handshake(identity: TLSIdentity) -> None:
    """A context that knows a key makes no connection to another one."""
    context = PinnedContext()
    context.pinned = bytes(32)
    with (
        serving(identity.server_context()) as plain,
        pytest.raises(ssl.SSLError, match="has changed"),
    ):
        context.wrap_socket(plain)

    assert plain.fileno() == -1


def test_a_certificate_that_only_openssl_reads_is_refused(
    identity: TLSIdentity, tmp_path: Path
) -> None:
    """A certificate of a version that does not exist ends the connection, not the program."""
    der = identity.certificate.public_bytes(Encoding.DER)
    odd = tmp_path / "certificate.der"
    odd.write_bytes(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x08", 1))
    engine = SSL.Context(SSL.TLS_SERVER_METHOD)
    engine.use_certificate_file(odd, crypto.FILETYPE_ASN1)
    engine.use_privatekey(identity.private_key)
    with (
        serving(ServerContext.create(engine)) as plain,
        pytest.raises(ssl.SSLError, match="unreadable"),
    ):
        PinnedContext().wrap_socket(plain)

    assert plain.fileno() == -1


def test_flags_are_refused(identity: TLSIdentity) -> None:
    """`MSG_PEEK` and its like mean nothing above TLS."""
    with connected(identity) as (client, _server):
        with pytest.raises(ValueError, match="flags"):
            client.recv(1, socket.MSG_PEEK)
        with pytest.raises(ValueError, match="flags"):
            client.sendall(b"x", socket.MSG_OOB)


def _object(context: ssl.SSLContext) -> tuple[ssl.MemoryBIO, ssl.MemoryBIO, TLSObject]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    assert isinstance(context, ServerContext)
    return incoming, outgoing, context.wrap_bio(incoming, outgoing, server_side=True)


def test_much_that_was_written_is_taken_whole(identity: TLSIdentity) -> None:
    """More than one buffer of outgoing bytes leaves nothing behind, exact multiples included."""
    with connected(identity) as (client, _server):
        for size in (1, (64 << 10) - 22, 64 << 10, 1 << 20):
            client.tls.write(bytes(size))
            first = client._outgoing.read()
            client.tls.write(b"")
            assert client._outgoing.read() == b""
            assert len(first) > size


def test_asyncio_serves_over_it(identity: TLSIdentity) -> None:
    """asyncio's own TLS machinery runs over the look-alike, with its exporter at hand."""
    data = os.urandom(300_000)

    async def serve() -> tuple[bytes, bytes]:
        exported: list[bytes] = []

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tls = writer.get_extra_info("ssl_object")
            exported.append(binder(tls, Side.CLIENT, bytes(32)))
            writer.write(await reader.readexactly(len(data)))
            writer.close()

        server = await asyncio.start_server(
            echo, "127.0.0.1", 0, ssl=identity.server_context(), ssl_shutdown_timeout=5
        )
        async with server:
            address = server.sockets[0].getsockname()
            return await asyncio.to_thread(ask, address), exported[0]

    mine: list[bytes] = []

    def ask(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=20) as plain:
            client = PinnedContext().wrap_socket(plain)
        with client, client.makefile("rb") as file:
            mine.append(binder(client.tls, Side.CLIENT, bytes(32)))
            client.sendall(data)
            echoed = file.read(len(data))
            assert file.read(1) == b""  # It said that it ends.
            return echoed

    echoed, exported = asyncio.run(serve())
    assert echoed == data
    assert mine == [exported]


def test_a_client_of_an_older_tls_is_refused(identity: TLSIdentity) -> None:
    """The server speaks TLS 1.3 and nothing else."""
    incoming, outgoing, server = _object(identity.server_context())
    old = SSL.Context(SSL.TLS_CLIENT_METHOD)
    old.set_max_proto_version(SSL.TLS1_2_VERSION)
    hello, reply = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = TLSObject(old, reply, hello, server_side=False)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(hello.read())
    with pytest.raises(ssl.SSLError, match="unsupported protocol"):
        server.do_handshake()
    reply.write(outgoing.read())
    with pytest.raises(ssl.SSLError, match="alert protocol version"):
        client.do_handshake()


def test_no_session_is_resumed(identity: TLSIdentity) -> None:
    """A client that brings a session of before gets a whole handshake, certificate and all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    engine = identity.server_context()
    session: ssl.SSLSession | None = None
    reused = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):

            def serve() -> None:
                with engine.wrap_socket(listener.accept()[0], server_side=True) as server:
                    server.sendall(server.recv(1))

            thread = threading.Thread(target=serve)
            thread.start()
            with (
                socket.create_connection(listener.getsockname(), timeout=20) as plain,
                context.wrap_socket(plain, session=session) as client,
            ):
                client.sendall(b"x")
                client.recv(1)
                session = client.session
                reused.append(client.session_reused)
            thread.join()

    assert reused == [False, False]


def test_two_threads_do_not_meet_inside_openssl(identity: TLSIdentity) -> None:
    """One thread reads while another one writes: nothing is lost or mixed."""
    data = os.urandom(1 << 20)
    with connected(identity) as (client, server):
        got: dict[str, bytes] = {}

        def read(name: str, end: TLSSocket) -> None:
            with end.makefile("rb") as file:
                got[name] = file.read(len(data))

        threads = [
            threading.Thread(target=read, args=("client", client)),
            threading.Thread(target=read, args=("server", server)),
            threading.Thread(target=client.sendall, args=(data,)),
            threading.Thread(target=server.sendall, args=(data[::-1],)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert got == {"server": data, "client": data[::-1]}


def test_the_key_is_never_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's context is made from memory: no file, not even an anonymous one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(os, "memfd_create", None)
    TLSIdentity.generate().server_context()

    assert list(tmp_path.iterdir()) == []


def test_the_engine_is_loaded_with_the_first_handshake() -> None:
    """Importing the package, as every command does, loads neither pyOpenSSL nor X.509."""
    code = "import sys, accord.channel; print([m for m in sys.modules if m == 'OpenSSL'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_all_clients_share_one_context() -> None:
    """Making a connection costs no new TLS context; the pin is not in it."""
    assert client_context() is client_context()
    assert PinnedContext().pinned is None
