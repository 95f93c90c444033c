"""Stores and queues."""

from __future__ import annotations

from .daemon import Daemon, Place, own


def _redis(place: Place) -> list[str]:
    # The server, the checker and the sentinel are one program, which goes by the name that it is called by.
    link = place.folder / "redis-server"
    link.symlink_to("/usr/bin/redis-check-rdb")
    return [
        str(link),
        place.file("redis.conf", f'bind 127.0.0.1\nport {place.port}\nsave ""\ndir {place.folder}\n'),
    ]


def _memcached(place: Place) -> list[str]:
    return ["/usr/bin/memcached", "-l", "127.0.0.1", "-p", str(place.port), "-U", "0"]


def _beanstalkd(place: Place) -> list[str]:
    return ["/usr/bin/beanstalkd", "-l", "127.0.0.1", "-p", str(place.port)]


def _gearmand(place: Place) -> list[str]:
    return ["/usr/sbin/gearmand", "-L", "127.0.0.1", "-p", str(place.port), "-l", f"{place.folder}/log"]


DAEMONS = (
    Daemon("Redis", "redis-tools", "redis", _redis),
    Daemon("memcached", "memcached", "memcached", _memcached),
    Daemon("beanstalkd", "beanstalkd", "beanstalkd", _beanstalkd),
    Daemon("gearmand", "gearman-job-server", own("gearmand"), _gearmand),
)
