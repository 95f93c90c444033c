"""Mail."""

from __future__ import annotations

from .daemon import AS_ANYBODY, Daemon, Place, Start, own, under_socat


def _dovecot(protocol: str) -> Start:
    def start(place: Place) -> list[str]:
        user, folder = place.user, place.folder
        login = f"{protocol}-login"
        config = place.file(
            "dovecot.conf",
            f"base_dir = {folder}/run\nstate_dir = {folder}/state\nprotocols = {protocol}\n"
            "listen = 127.0.0.1\n"
            f"ssl = no\nlog_path = {folder}/log\n"
            f"default_internal_user = {user}\ndefault_internal_group = nogroup\ndefault_login_user = {user}\n"
            f"service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
            f"service {login} {{\n chroot =\n inet_listener {protocol} {{\n  port = {place.port}\n }}\n"
            f" inet_listener {protocol}s {{\n  port = 0\n }}\n}}\n"
            "passdb {\n driver = static\n args = nopassword=y\n}\nuserdb {\n driver = static\n"
            f" args = uid={user} gid=nogroup home={folder}\n}}\n",
        )
        return ["/usr/sbin/dovecot", "-F", "-c", config]

    return start


def _exim(place: Place) -> list[str]:
    place.accounts({"Debian-exim": 65534}, {"Debian-exim": 65534})
    config = place.file(
        "exim.conf",
        f"exim_user = {place.user}\nexim_group = nogroup\nprimary_hostname = mail.example.net\n"
        f"spool_directory = {place.folder}/spool\nlog_file_path = {place.folder}/%slog\n"
        "smtp_accept_max = 200\nsmtp_accept_max_nonmail = 100000\nsmtp_max_unknown_commands = 1000\n"
        "smtp_max_synprot_errors = 1000\nrfc1413_query_timeout = 0s\ntls_advertise_hosts =\n"
        "queue_only = true\nacl_smtp_rcpt = accept\nbegin acl\nbegin routers\nbegin transports\n",
    )
    return ["/usr/sbin/exim4", "-bdf", "-oX", f"127.0.0.1.{place.port}", "-C", config]


def _postfix(place: Place) -> list[str]:
    # It runs as its owner, whom it shares no number with.
    place.accounts({"nobody": 65533, "postfix": 65534}, {"nogroup": 65533, "postfix": 65534, "postdrop": 106})
    place.file(
        "etc/postfix/main.cf",
        f"compatibility_level = 3.6\nmyhostname = mail.example.net\nqueue_directory = {place.folder}/spool\n"
        f"data_directory = {place.folder}/data\nmynetworks = 127.0.0.0/8\n"
        "smtpd_junk_command_limit = 100000\nsmtpd_hard_error_limit = 1000\nsmtpd_soft_error_limit = 1000\n"
        "alias_maps =\nlocal_recipient_maps =\nsmtputf8_enable = no\n",
    )
    (place.folder / "spool").mkdir()
    (place.folder / "data").mkdir()
    return under_socat(place, "/usr/lib/postfix/sbin/smtpd -S")


def _opensmtpd(place: Place) -> list[str]:
    # It changes to users of its own and locks itself in: it is root in its namespace, and so are they.
    place.accounts({"opensmtpd": 0, "opensmtpq": 0}, {"opensmtpd": 0, "opensmtpq": 0})
    config = place.file(
        "etc/smtpd.conf",
        f"listen on 127.0.0.1 port {place.port} hostname mail.example.net\n"
        'action "keep" relay host smtp://127.0.0.1:9\nmatch for any action "keep"\n',
    )
    # It looks up the name of each client.
    place.file("etc/resolv.conf", "lookup file\n")
    place.file("etc/hosts", "127.0.0.1 localhost\n")
    for name in ("spool/smtpd", "lib/opensmtpd/empty"):
        (place.folder / "var" / name).mkdir(parents=True, mode=0o711)
    names = ["NSS_WRAPPER_PASSWD=/etc/passwd", "NSS_WRAPPER_GROUP=/etc/group"]
    preload = "LD_PRELOAD=libnss_wrapper.so:libuid_wrapper.so"
    return [*AS_ANYBODY, "env", *names, preload, "/usr/sbin/smtpd", "-d", "-f", config]


DAEMONS = (
    Daemon("Dovecot (POP3)", "dovecot-core", "pop3", _dovecot("pop3"), ("dovecot-pop3d",)),
    Daemon("Dovecot (IMAP)", "dovecot-core", "imap", _dovecot("imap"), ("dovecot-imapd",)),
    Daemon("Exim", "exim4-daemon-light", "smtp", _exim),
    Daemon(
        "OpenSMTPD",
        "opensmtpd",
        own("smtp_in_turn"),
        _opensmtpd,
        ("libuid-wrapper", "libnss-wrapper"),
        root=True,
        jobs=1,
    ),
    Daemon("Postfix", "postfix", "smtp", _postfix, ("socat",)),
)
