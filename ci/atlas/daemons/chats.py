"""IRC."""

from __future__ import annotations

from .daemon import Daemon, Place, own


def _ngircd(place: Place) -> list[str]:
    config = place.file(
        "ngircd.conf",
        f"[Global]\nName = irc.example.net\nInfo = atlas\nListen = 127.0.0.1\nPorts = {place.port}\n"
        "MotdPhrase = hello\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\n"
        "[Options]\nDNS = no\nIdent = no\nPAM = no\n",
    )
    return ["/usr/sbin/ngircd", "-n", "-f", config]


def _inspircd(place: Place) -> list[str]:
    config = place.file(
        "inspircd.conf",
        '<server name="irc.example.net" description="atlas" network="Atlas">\n'
        f'<bind address="127.0.0.1" port="{place.port}" type="clients">\n'
        '<connect allow="*" timeout="60" localmax="500" globalmax="500" commandrate="100000" threshold="1000"'
        ' recvq="65536" resolvehostnames="no" useident="no">\n'
        f'<path datadir="{place.folder}" logdir="{place.folder}"'
        f' configdir="{place.folder}" runtimedir="{place.folder}">\n'
        f'<pid file="{place.folder}/inspircd.pid">\n<files motd="{place.folder}/motd">\n'
        '<dns server="127.0.0.1" timeout="1">\n',
    )
    place.file("motd", "hello\n")
    return ["/usr/sbin/inspircd", "--nofork", "--config", config]


def _bitlbee(place: Place) -> list[str]:
    config = place.file(
        "bitlbee.conf",
        f"[settings]\nRunMode = ForkDaemon\nDaemonInterface = 127.0.0.1\nDaemonPort = {place.port}\n"
        f"ConfigDir = {place.folder}\nHostname = irc.example.net\nPingInterval = 0\n",
    )
    place.file("etc/bitlbee/motd.txt", "hello\n")
    return [
        "/usr/sbin/bitlbee",
        "-F",
        "-n",
        "-c",
        config,
        "-d",
        str(place.folder),
        "-P",
        f"{place.folder}/pid",
    ]


def _ircd_hybrid(place: Place) -> list[str]:
    config = place.file(
        "ircd.conf",
        'serverinfo { name = "irc.example.net"; description = "atlas"; network_name = "Atlas";'
        ' sid = "0AT"; };\n'
        'admin { name = "a"; };\n'
        'class { name = "users"; ping_time = 5 minutes; number_per_ip_local = 500;'
        " number_per_ip_global = 500;"
        " max_number = 500; sendq = 1 megabyte; recvq = 8000 bytes; };\n"
        'auth { user = "*@*"; class = "users"; flags = can_flood, no_tilde; };\n'
        f'listen {{ host = "127.0.0.1"; port = {place.port}; }};\n'
        "general { disable_auth = yes; throttle_count = 10000; throttle_time = 1 second; };\n",
    )
    return [
        "/usr/sbin/ircd-hybrid",
        "-foreground",
        "-configfile",
        config,
        "-pidfile",
        f"{place.folder}/pid",
        "-logfile",
        f"{place.folder}/log",
    ]


DAEMONS = (
    Daemon("ngIRCd", "ngircd", "irc", _ngircd),
    Daemon("InspIRCd", "inspircd", "irc", _inspircd),
    Daemon("BitlBee", "bitlbee", own("bitlbee"), _bitlbee),
    Daemon("ircd-hybrid", "ircd-hybrid", "irc", _ircd_hybrid),
)
