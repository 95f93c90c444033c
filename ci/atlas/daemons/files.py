"""FTP, and what else gives files away."""

from __future__ import annotations

from pathlib import Path

from .daemon import AS_ANYBODY, Daemon, Place, under_socat


def _vsftpd(place: Place) -> list[str]:
    place.accounts({"ftp": 65534}, {"ftp": 65534})
    (place.folder / "pub").mkdir()
    (place.folder / "empty").mkdir()
    config = place.file(
        "vsftpd.conf",
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={place.port}\nbackground=NO\n"
        f"run_as_launching_user=YES\nanonymous_enable=YES\nanon_root={place.folder}/pub\n"
        f"secure_chroot_dir={place.folder}/empty\nseccomp_sandbox=NO\nxferlog_enable=NO\nmax_per_ip=0\n",
    )
    return ["/usr/sbin/vsftpd", config]


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
    return ["/usr/sbin/proftpd", "--nodaemon", "-c", config]


def _pure_ftpd(place: Place) -> list[str]:
    # It insists on changing to the user ftp, and may in its wrapper's imagination.
    place.accounts({"ftp": 105}, {"ftp": 105})
    (place.folder / "pub").mkdir()
    return [
        *AS_ANYBODY,
        "/usr/sbin/pure-ftpd",
        "-S",
        f"127.0.0.1,{place.port}",
        "-e",
        "-H",
        "-c",
        "200",
        "-g",
        f"{place.folder}/pid",
    ]


def _leafnode(place: Place) -> list[str]:
    place.accounts({"news": 65534}, {"news": 65534})
    for name in (
        "interesting.groups",
        "leaf.node",
        "failed.postings",
        "temp.files",
        "out.going",
        "message.id",
    ):
        (place.folder / "var/spool/news" / name).mkdir(parents=True)
    place.file("var/spool/news/leaf.node/groupinfo", "")
    place.file(
        "etc/news/leafnode/config", "server = news.example.net\nexpire = 20\nhostname = news.atlas.internal\n"
    )
    return under_socat(place, "/usr/sbin/leafnode")


def _efingerd(place: Place) -> list[str]:
    # It passes on what its scripts say, and those that come along end their lines with LF.
    for name in ("list", "luser", "nouser"):
        path = place.file(f"etc/efingerd/{name}", '#!/bin/sh\nprintf "nobody is called %s\\r\\n" "$3"\n')
        Path(path).chmod(0o755)
    return under_socat(place, "/usr/sbin/efingerd -n")


def _gophernicus(place: Place) -> list[str]:
    place.file("gopher/gophermap", "iThe atlas\n0A file\tfile.txt\n")
    place.file("gopher/file.txt", "Hello.\n")
    return under_socat(
        place,
        f"/usr/sbin/gophernicus -h localhost -p {place.port} -r {place.folder}/gopher -nf -nu -nv -nx",
    )


DAEMONS = (
    Daemon("vsftpd", "vsftpd", "ftp", _vsftpd),
    Daemon("ProFTPD", "proftpd-core", "ftp", _proftpd),
    Daemon("Pure-FTPd", "pure-ftpd", "ftp", _pure_ftpd, ("libuid-wrapper",), root=True),
    Daemon("Leafnode", "leafnode", "nntp", _leafnode, ("socat",)),
    Daemon("efingerd", "efingerd", "finger", _efingerd, ("socat",)),
    Daemon("Gophernicus", "gophernicus", "gopher", _gophernicus, ("socat",)),
)
