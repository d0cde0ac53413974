"""A relay that takes every letter, on port 25 of this machine, and keeps them in the file that its argument names."""

import socketserver
import sys


class Relay(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 relay")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            self.say("354 go on" if verb == b"DATA" else "250 relay")
            if verb == b"DATA":
                self.keep()

    def keep(self):
        letter = []
        while (line := self.rfile.readline()).rstrip() != b".":
            letter.append(line)
        with open(sys.argv[1], "ab") as letters:
            letters.writelines(letter)
        self.say("250 taken")

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", 25), Relay).serve_forever()
