"""A mail server that says on standard output what it hears, and whether in TLS or in the clear.

    mail_server.py SCHEME KIND FOLDER

SCHEME is smtp (STARTTLS) or smtps. KIND "stripped" offers no STARTTLS, "tls1.0" knows no later version of TLS.
FOLDER holds server.pem and server.key. The first line says which port it listens at.
"""

import socket
import ssl
import sys
import threading

scheme, kind, folder = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
if kind == "tls1.0":
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=serve, args=(stream,), daemon=True).start()


def serve(stream):
    print("connected", flush=True)
    try:
        if scheme == "smtps":
            converse(in_tls(stream), "in TLS", b"220 mail\r\n")
        else:
            converse(stream, "in the clear", b"220 mail\r\n")
    except (EOFError, OSError):
        stream.close()


def in_tls(stream):
    return context.wrap_socket(stream, server_side=True)


def converse(stream, where, greeting=b""):
    stream.sendall(greeting)
    while True:
        line = line_from(stream)
        print(f"{where}: {line}", flush=True)
        verb = line.split(" ")[0].upper()
        if verb == "STARTTLS":
            stream.sendall(b"220 go on\r\n")
            return converse(in_tls(stream), "in TLS")
        stream.sendall(answer_to(verb, where))
        if verb == "DATA":
            while line_from(stream) != ".":
                pass
            print(f"{where}: .", flush=True)
            stream.sendall(b"250 taken\r\n")


def answer_to(verb, where):
    if verb == "EHLO" and where == "in TLS":
        return b"250-mail\r\n250 AUTH PLAIN\r\n"
    if verb == "EHLO" and kind != "stripped":
        return b"250-mail\r\n250 STARTTLS\r\n"
    return {"AUTH": b"235 welcome\r\n", "DATA": b"354 go on\r\n"}.get(verb, b"250 ok\r\n")


def line_from(stream):
    line = b""
    while not line.endswith(b"\n"):
        byte = stream.recv(1)  # and nothing of what follows STARTTLS
        if not byte:
            raise EOFError
        line += byte
    return line.decode().strip()


main()
