"""The daemons: where each comes from, what it speaks, and the smallest configuration it serves with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Place:
    """Where a daemon runs.

    Attributes:
        folder: its own; it is empty, and belongs to the user that the daemon runs as.
        root: where its packages are unpacked.
        port: where it has to listen, on 127.0.0.1.
        user: whom it runs as.
    """

    folder: Path
    root: Path
    port: int
    user: str

    def file(self, name: str, text: str) -> str:
        """Write a file, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def program(self, path: str) -> str:
        """Return the path of a program of the packages."""
        return str(self.root / path)


Start: TypeAlias = Callable[[Place], list[str]]


@dataclass(frozen=True)
class Daemon:
    """One server of the atlas.

    Attributes:
        name: what it is called.
        origin: the Debian package whose version is shown.
        dialect: what `--dialect` is given.
        start: writes its configuration, and returns its command.
        libraries: packages that it needs besides; they are unpacked as well.
        jobs: how many cases run side by side.
    """

    name: str
    origin: str
    dialect: str
    start: Start
    libraries: tuple[str, ...] = ()
    jobs: int = 4


def _own(name: str) -> str:
    return f"ci/atlas/dialects/{name}.toml"


def _redis(place: Place) -> list[str]:
    # The server, the checker and the sentinel are one program, which goes by the name that it is called by.
    link = place.folder / "redis-server"
    link.symlink_to(place.program("usr/bin/redis-check-rdb"))
    return [
        str(link),
        place.file("redis.conf", f'bind 127.0.0.1\nport {place.port}\nsave ""\ndir {place.folder}\n'),
    ]


def _memcached(place: Place) -> list[str]:
    return [place.program("usr/bin/memcached"), "-l", "127.0.0.1", "-p", str(place.port), "-U", "0"]


def _beanstalkd(place: Place) -> list[str]:
    return [place.program("usr/bin/beanstalkd"), "-l", "127.0.0.1", "-p", str(place.port)]


def _dictd(place: Place) -> list[str]:
    config = place.file("dictd.conf", f"global {{ listen_to 127.0.0.1\nport {place.port} }}\ndatabase_exit\n")
    pid = str(place.folder / "dictd.pid")
    return [place.program("usr/sbin/dictd"), "-d", "nodetach", "-c", config, "--pid-file", pid]


def _ngircd(place: Place) -> list[str]:
    config = place.file(
        "ngircd.conf",
        f"[Global]\nName = irc.example.net\nInfo = atlas\nListen = 127.0.0.1\nPorts = {place.port}\n"
        "MotdPhrase = hello\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\n"
        "[Options]\nDNS = no\nIdent = no\nPAM = no\n",
    )
    return [place.program("usr/sbin/ngircd"), "-n", "-f", config]


def _inspircd(place: Place) -> list[str]:
    modules = next((place.root / "usr/lib").rglob("core_user.so"), place.root).parent
    config = place.file(
        "inspircd.conf",
        '<server name="irc.example.net" description="atlas" network="Atlas">\n'
        f'<bind address="127.0.0.1" port="{place.port}" type="clients">\n'
        '<connect allow="*" timeout="60" localmax="500" globalmax="500" commandrate="100000" threshold="1000"'
        ' recvq="65536" resolvehostnames="no" useident="no">\n'
        f'<path moduledir="{modules}" datadir="{place.folder}" logdir="{place.folder}"'
        f' configdir="{place.folder}" runtimedir="{place.folder}">\n'
        f'<pid file="{place.folder}/inspircd.pid">\n<files motd="{place.folder}/motd">\n'
        '<dns server="127.0.0.1" timeout="1">\n',
    )
    place.file("motd", "hello\n")
    return [place.program("usr/sbin/inspircd"), "--nofork", "--config", config]


def _vsftpd(place: Place) -> list[str]:
    (place.folder / "pub").mkdir()
    (place.folder / "empty").mkdir()
    config = place.file(
        "vsftpd.conf",
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={place.port}\nbackground=NO\n"
        f"run_as_launching_user=YES\nanonymous_enable=YES\nanon_root={place.folder}/pub\n"
        f"secure_chroot_dir={place.folder}/empty\nseccomp_sandbox=NO\nxferlog_enable=NO\nmax_per_ip=0\n",
    )
    return [place.program("usr/sbin/vsftpd"), config]


#: That of the dialect's anonymous user: an unprivileged server cannot have the usual one, which it locks in.
_HASH = "$6$atlas$sbGAHlQBhKDb4OAPdy.5xfTzEegAd/QlBKlHHlvc8JtPVEYaTvkxMb/vm/7mO/KaJmsV/SmX.wdZOfeNJppTl0"


def _proftpd(place: Place) -> list[str]:
    passwd = place.file("passwd", f"anonymous:{_HASH}:65534:65534::{place.folder}:/bin/sh\n")
    config = place.file(
        "proftpd.conf",
        f"ServerType standalone\nPort {place.port}\nDefaultAddress 127.0.0.1\nUseIPv6 off\n"
        f"User {place.user}\nGroup nogroup\nPidFile {place.folder}/pid\nScoreboardFile {place.folder}/score\n"
        f"DelayTable {place.folder}/delay\nSystemLog {place.folder}/log\nWtmpLog off\nUseReverseDNS off\n"
        f"MaxInstances 100\nRequireValidShell off\nAuthUserFile {passwd}\nAuthOrder mod_auth_file.c\n",
    )
    Path(passwd).chmod(0o600)
    return [place.program("usr/sbin/proftpd"), "--nodaemon", "-c", config]


def _dovecot(protocol: str) -> Start:
    def start(place: Place) -> list[str]:
        user, folder = place.user, place.folder
        login = f"{protocol}-login"
        config = place.file(
            "dovecot.conf",
            f"base_dir = {folder}/run\nstate_dir = {folder}/state\nprotocols = {protocol}\n"
            "listen = 127.0.0.1\n"
            f"libexec_dir = {place.root}/usr/lib/dovecot\nssl = no\nlog_path = {folder}/log\n"
            f"default_internal_user = {user}\ndefault_internal_group = nogroup\ndefault_login_user = {user}\n"
            f"service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
            f"service {login} {{\n chroot =\n inet_listener {protocol} {{\n  port = {place.port}\n }}\n"
            f" inet_listener {protocol}s {{\n  port = 0\n }}\n}}\n"
            "passdb {\n driver = static\n args = nopassword=y\n}\nuserdb {\n driver = static\n"
            f" args = uid={user} gid=nogroup home={folder}\n}}\n",
        )
        return [place.program("usr/sbin/dovecot"), "-F", "-c", config]

    return start


def _mpd(place: Place) -> list[str]:
    (place.folder / "music").mkdir()
    config = place.file(
        "mpd.conf",
        f'bind_to_address "127.0.0.1"\nport "{place.port}"\nmusic_directory "{place.folder}/music"\n'
        f'db_file "{place.folder}/db"\nlog_file "{place.folder}/log"\nmax_connections "200"\n',
    )
    return [place.program("usr/bin/mpd"), "--no-daemon", config]


def _clamd(place: Place) -> list[str]:
    place.file("db/atlas.ndb", "Atlas.Test:0:*:6174206c6173\n")
    config = place.file(
        "clamd.conf",
        f"Foreground yes\nTCPSocket {place.port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {place.folder}/db\n",
    )
    return [place.program("usr/sbin/clamd"), "-c", config]


def _python(*words: str) -> Start:
    def start(place: Place) -> list[str]:
        named = {"folder": str(place.folder), "port": str(place.port)}
        return ["/usr/bin/python3", "-m", *(word.format(**named) for word in words)]

    return start


DAEMONS = (
    Daemon("Redis", "redis-tools", "redis", _redis),
    Daemon("memcached", "memcached", "memcached", _memcached),
    Daemon("beanstalkd", "beanstalkd", "beanstalkd", _beanstalkd),
    Daemon("dictd", "dictd", "dict", _dictd),
    Daemon("ngIRCd", "ngircd", "irc", _ngircd),
    Daemon("InspIRCd", "inspircd", "irc", _inspircd),
    Daemon("vsftpd", "vsftpd", "ftp", _vsftpd),
    Daemon("ProFTPD", "proftpd-core", "ftp", _proftpd),
    Daemon("Dovecot (POP3)", "dovecot-core", "pop3", _dovecot("pop3"), ("dovecot-pop3d",)),
    Daemon("Dovecot (IMAP)", "dovecot-core", "imap", _dovecot("imap"), ("dovecot-imapd",)),
    Daemon("mpd", "mpd", "mpd", _mpd),
    Daemon("clamd", "clamav-daemon", _own("clamd"), _clamd),
    Daemon(
        "aiosmtpd",
        "python3-aiosmtpd",
        "smtp",
        _python("aiosmtpd", "-n", "-l", "127.0.0.1:{port}"),
        ("python3-public", "python3-attr", "python3-typing-extensions", "python3-pkg-resources"),
    ),
    Daemon(
        "pyftpdlib",
        "python3-pyftpdlib",
        "ftp",
        _python("pyftpdlib", "-i", "127.0.0.1", "-p", "{port}", "-d", "{folder}"),
    ),
)
