"""Whatever else speaks in lines."""

from __future__ import annotations

from .daemon import Daemon, Place, own


def _dictd(place: Place) -> list[str]:
    config = place.file("dictd.conf", f"global {{ listen_to 127.0.0.1\nport {place.port} }}\ndatabase_exit\n")
    pid = str(place.folder / "dictd.pid")
    return ["/usr/sbin/dictd", "-d", "nodetach", "-c", config, "--pid-file", pid]


def _mpd(place: Place) -> list[str]:
    (place.folder / "music").mkdir()
    config = place.file(
        "mpd.conf",
        f'bind_to_address "127.0.0.1"\nport "{place.port}"\nmusic_directory "{place.folder}/music"\n'
        f'db_file "{place.folder}/db"\nlog_file "{place.folder}/log"\nmax_connections "200"\n',
    )
    return ["/usr/bin/mpd", "--no-daemon", config]


def _clamd(place: Place) -> list[str]:
    place.file("db/atlas.ndb", "Atlas.Test:0:*:6174206c6173\n")
    config = place.file(
        "clamd.conf",
        f"Foreground yes\nTCPSocket {place.port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {place.folder}/db\n",
    )
    return ["/usr/sbin/clamd", "-c", config]


def _gpsd(place: Place) -> list[str]:
    return [
        "/usr/sbin/gpsd",
        "-N",
        "-n",
        "-S",
        str(place.port),
        "-P",
        f"{place.folder}/pid",
        "-F",
        f"{place.folder}/control",
    ]


def _postgrey(place: Place) -> list[str]:
    (place.folder / "db").mkdir()
    for name in ("whitelist_clients", "whitelist_recipients"):
        place.file(f"etc/postgrey/{name}", "")
    return [
        "/usr/sbin/postgrey",
        f"--inet=127.0.0.1:{place.port}",
        f"--dbdir={place.folder}/db",
        "--user=nobody",
        "--group=nogroup",
        f"--pidfile={place.folder}/pid",
    ]


def _nut(place: Place) -> list[str]:
    folder = place.folder
    place.file(
        "nut/upsd.conf",
        f"LISTEN 127.0.0.1 {place.port}\nALLOW_NO_DEVICE true\nMAXCONN 200\nSTATEPATH {folder}\n",
    )
    place.file("nut/ups.conf", "")
    place.file("nut/upsd.users", "")
    paths = [f"NUT_CONFPATH={folder}/nut", f"NUT_STATEPATH={folder}", f"NUT_ALTPIDPATH={folder}"]
    return ["env", *paths, "/lib/nut/upsd", "-D", "-u", place.user]


def _postsrsd(place: Place) -> list[str]:
    secret = place.file("secret", "atlas atlas\n")
    return [
        "/usr/sbin/postsrsd",
        "-d",
        "example.net",
        "-s",
        secret,
        "-f",
        str(place.port),
        "-r",
        str(place.port + 1),
        "-l",
        "127.0.0.1",
    ]


def _haproxy(place: Place) -> list[str]:
    config = place.file(
        "haproxy.cfg",
        f"global\n stats socket ipv4@127.0.0.1:{place.port} level admin\n"
        " stats maxconn 200\n stats timeout 60s\n",
    )
    return ["/usr/sbin/haproxy", "-db", "-f", config]


def _oidentd(place: Place) -> list[str]:
    place.accounts({"oidentd": 65534}, {"oidentd": 65534})
    config = place.file("oidentd.conf", "default { default { deny spoof } }\n")
    return [
        "/usr/sbin/oidentd",
        "--foreground",
        "--nosyslog",
        "--error",
        "--address=127.0.0.1",
        f"--port={place.port}",
        f"--config={config}",
    ]


def _inetd(place: Place) -> list[str]:
    # What it answers by itself has the port that the services file says.
    place.file("etc/services", f"echo {place.port}/tcp\n")
    config = place.file("inetd.conf", "echo stream tcp4 nowait nobody internal\n")
    return ["/usr/sbin/inetutils-inetd", "--debug", "--rate=100000", f"--pidfile={place.folder}/pid", config]


DAEMONS = (
    Daemon("inetutils-inetd", "inetutils-inetd", "echo-bytes", _inetd),
    Daemon("dictd", "dictd", "dict", _dictd),
    Daemon("mpd", "mpd", "mpd", _mpd),
    Daemon("clamd", "clamav-daemon", own("clamd"), _clamd),
    Daemon("gpsd", "gpsd", own("gpsd"), _gpsd),
    Daemon("Postgrey", "postgrey", own("policy"), _postgrey),
    Daemon("NUT (upsd)", "nut-server", own("nut"), _nut),
    Daemon("PostSRSd", "postsrsd", own("tcp_table"), _postsrsd),
    Daemon("HAProxy (admin)", "haproxy", own("haproxy"), _haproxy),
    Daemon("oidentd", "oidentd", own("ident"), _oidentd),
)
