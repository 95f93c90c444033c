"""The end of `--help`."""

from typing import Final

EPILOG: Final = """\
\b
Examples, and a client to try each with:
  caas-trio                                      the client speaks first
      printf 'hello\\nworld' | caas-client tcp://127.0.0.1:50007
  caas-trio --first server unix:$XDG_RUNTIME_DIR/caas.sock     the server prompts at once
      caas-client unix:$XDG_RUNTIME_DIR/caas.sock
  caas-trio --first either tcp://[::1]:7000      a silent client is prompted
      caas-client tcp://[::1]:7000
  caas-trio udp://127.0.0.1:7000                 one datagram, one reply
      printf hello | nc -u -w 1 127.0.0.1 7000
  caas-trio --app shout:shout --workers 2        a server of your own, in shout.py
      kill -HUP, once shout.py has changed, deploys it; no client is refused

\b
An ENDPOINT is one of
  tcp://HOST:PORT   port 0 takes a free one; IPv6 is written tcp://[::1]:7000.
                    Every interface is 0.0.0.0 for IPv4 and [::] for IPv6: give both for both
  unix:/PATH        a Unix socket, removed when the service ends; as long as it runs,
                    PATH.lock beside it keeps a second one off
  unix:@NAME        an abstract Unix socket (Linux)
  tls://HOST:PORT   TLS, which needs --tls-cert
  udp://HOST:PORT   datagrams
  unixgram:/PATH    datagrams on a Unix socket; unixgram:@NAME likewise
  systemd:NAME      the sockets of that name that systemd has opened; systemd: takes all
  fd://N            a bound socket that was inherited as descriptor N
Several may be given. Without one, the service listens on tcp://127.0.0.1:50007.

The reply to a datagram is the whole of it in capitals. There is no line in it, no prompt
and no connection: options for these do not apply to it.

Once an endpoint accepts connections, a line such as
"listening on tcp://127.0.0.1:50007" goes to standard output.

SIGTERM or Ctrl-C ends the service: it answers every line it has received, ends each
connection and exits with 0. A second signal ends it at once. Exit status 1 is a failure
(an address in use, no permission) and 2 a wrong command line; either is reported in one line on
standard error. SIGHUP makes the service read its certificates again; connections go on.

With --workers or --config, a supervisor starts the processes that serve, and replaces those
that die. SIGHUP makes it read the file and the certificates again and start new workers with
them; once these are ready, the old ones accept no more, let their connections end for as
long as --drain-timeout says, and drain. If anything is wrong with the new settings, the old
workers stay. A file has the names of the options for keys, and lists for what may be repeated:

\b
  endpoints = ["tcp://127.0.0.1:50007", "unix:/run/caas/caas.sock"]
  max-line = 1000
  workers = 2

With --metrics 127.0.0.1:9464, http://127.0.0.1:9464/ is a page that shows what the service
does; `caas-trio status http://127.0.0.1:9464` shows it in a terminal, with --watch every two
seconds.

Every option can be set by an environment variable too: --max-line by CAAS_TRIO_MAX_LINE,
and so on. The command line wins over the environment, and that over the file.
"""
