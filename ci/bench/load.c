/* A load generator for line servers: one thread, one epoll, bounded in time and in count.
 *
 *     load ENDPOINT WORK [--connections N] [--depth K] [--line BYTES] [--warmup S] [--seconds S] [--max-lines N]
 *          [--reset] [--resume]
 *
 * WORK is one of
 *     lines     every connection sends K lines in one go, reads the K replies, and starts again
 *     connect   every connection carries one line, then closes, and a new one takes its place
 *     firehose  one connection writes without ever waiting; the others send a line every 20 ms
 *     hold      every connection exchanges one line, then all stay idle until standard input ends
 *
 * With `--reset`, the connections of `connect` end with a reset instead. Compiled with -DTLS it knows endpoints
 * tls://IP:PORT too (1.3, no certificate is checked); `--resume` makes each connection but the first resume a session.
 *
 * A line is random lower-case letters and an LF, each line of a batch another one, so a reply is known byte by
 * byte: it is the same stream in upper case. Each connection first exchanges one line (but for `connect`), so
 * the server has accepted it before anything is measured; in the end each half-closes, reads to the end of the
 * stream and closes. On standard output: `measuring` and `measured` (or `holding`), each on a line of its own
 * when the moment comes, then one JSON object. Exit status: 0, even when the JSON counts errors; 2 for wrong usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define SECOND UINT64_C(1000000000)
#define MILLISECOND UINT64_C(1000000)
#define QUIET_INTERVAL (20 * MILLISECOND) /* between two lines of one quiet client beside the firehose */
#define PHASE_TIMEOUT (10 * SECOND)            /* for opening, and for closing, before the rest counts as timed out */
enum {
    RECEIVE = 1 << 18,      /* the most one recv() takes */
    FIREHOSE_SEND = 1 << 16,/* the most the firehose sends per wake-up, so it does not starve its own neighbours */
    CHECKED_WHOLE = 1 << 14,/* up to here a read is compared byte by byte, */
    CHECKED_EDGE = 1 << 12, /* beyond it so much of its beginning and of its end */
    EVENTS = 256,
    OPENING = 64,           /* connections being opened at one time */
    SUBBUCKETS = 32,        /* of a power of two: latencies are right to 3 % */
    MAX_CONNECTIONS = 60000,
    MAX_BATCH = 1 << 28,
    ENOUGH_ERRORS = 1000,
};

enum work { LINES, CONNECT, FIREHOSE, HOLD };
static const char *const work_names[] = {"lines", "connect", "firehose", "hold"};

enum phase { OPEN, RUN, HOLDING, CLOSE };

enum fault { REFUSED, RESET, ENDED_EARLY, MISMATCH, EXCESS, TIMED_OUT, FAULTS };
static const char *const fault_names[] = {"refused", "reset", "ended_early", "mismatch", "excess", "timed_out"};

enum state { UNUSED, WAITING, CONNECTING, SHAKING_HANDS, TALKING, CLOSING };

struct connection {
    int fd;
    enum state state;
    bool writable_wanted;
    uint64_t sent, got, goal; /* bytes since the connection began; idle when all three are equal */
    uint64_t began;           /* when the exchange in progress began; of a quiet client: when its oldest one was due */
    uint64_t answered;        /* bytes of a quiet client's lines whose replies are complete */
#ifdef TLS
    SSL *tls; /* NULL in plain */
#endif
};

static struct {
    enum work work;
    size_t connections, depth, line;
    double warmup, seconds;
    uint64_t max_lines;
    bool tls, reset, resume;
} options = {.connections = 1, .depth = 1, .line = 32, .warmup = 0.2, .seconds = 1, .max_lines = UINT64_MAX};

static union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
} address;
static socklen_t address_length;

static enum phase phase = OPEN;
static struct connection *connections;
static size_t asked_for, open_now, ready, waiting;
static int poller, ticker = -1;
static uint64_t faults[FAULTS], failures;
static uint64_t whole, whole_bytes; /* connections that came to a good end, and what they were answered */

static size_t batch;                /* bytes of one batch, the period of what is sent */
static size_t pattern_length;       /* long enough that a batch, and a read, never wraps */
static char *requests, *replies, *received;

static bool measuring;
static uint64_t phase_began, measured_from, measured_until;
static uint64_t exchanges, bytes_measured, ticks, ticking_since, quiet_interval;
static uint64_t histogram[64 * SUBBUCKETS], slowest;
static double cpu_from, cpu_used;
static uint64_t resumed; /* handshakes that were short */

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void wrong_usage(const char *why) {
    fprintf(stderr, "load: %s\n", why);
    exit(2);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- latencies: log buckets, as an HDR histogram has them ---- */

static size_t bucket_of(uint64_t ns) {
    if (ns < SUBBUCKETS) return (size_t)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - 5;
    return (size_t)(shift + 1) * SUBBUCKETS + (size_t)((ns >> shift) - SUBBUCKETS);
}

static double middle_of(size_t bucket) {
    if (bucket < SUBBUCKETS) return (double)bucket;
    unsigned shift = (unsigned)(bucket / SUBBUCKETS) - 1;
    return ((double)(bucket % SUBBUCKETS + SUBBUCKETS) + 0.5) * (double)(UINT64_C(1) << shift);
}

static void record(uint64_t ns) {
    exchanges++;
    histogram[bucket_of(ns)]++;
    if (ns > slowest) slowest = ns;
}

static double percentile(double share) {
    uint64_t wanted = (uint64_t)((double)exchanges * share), seen = 0;
    for (size_t bucket = 0; bucket < sizeof histogram / sizeof *histogram; bucket++)
        if ((seen += histogram[bucket]) > wanted) return middle_of(bucket);
    return (double)slowest;
}

/* ---- the transport: the socket itself, or TLS over it; all as the system calls, with errno ---- */

#ifdef TLS
static SSL_CTX *tls_context;
static SSL_SESSION *tls_session;

static int keep_session(SSL *tls, SSL_SESSION *session) {
    (void)tls;
    if (tls_session != NULL) SSL_SESSION_free(tls_session);
    tls_session = session;
    return 1;
}

static void prepare_tls(void) {
    tls_context = SSL_CTX_new(TLS_client_method());
    if (tls_context == NULL) die("OpenSSL");
    SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION);
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (!options.resume) return;
    SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls_context, keep_session);
}

static ssize_t tls_result(struct connection *c, int n) {
    if (n > 0) return n;
    int error = SSL_get_error(c->tls, n);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

static ssize_t transmit(struct connection *c, const void *data, size_t length) {
    if (c->tls == NULL) return send(c->fd, data, length, MSG_NOSIGNAL);
    ssize_t n = tls_result(c, SSL_write(c->tls, data, (int)length));
    if (n == 0) errno = ECONNRESET;
    return n == 0 ? -1 : n;
}

static ssize_t obtain(struct connection *c, void *data, size_t length) {
    return c->tls == NULL ? recv(c->fd, data, length, 0) : tls_result(c, SSL_read(c->tls, data, (int)length));
}

static int close_output(struct connection *c) {
    if (c->tls != NULL && SSL_shutdown(c->tls) < 0) {
        ERR_clear_error();
        return -1;
    }
    return shutdown(c->fd, SHUT_WR);
}

static void let_go(struct connection *c) {
    SSL_free(c->tls);
    close(c->fd);
}

static bool begin_tls(struct connection *c) {
    if (!options.tls) return false;
    c->tls = SSL_new(tls_context);
    if (c->tls == NULL || SSL_set_fd(c->tls, c->fd) != 1) die("OpenSSL");
    if (options.resume && tls_session != NULL) SSL_set_session(c->tls, tls_session);
    return true;
}

/* Go on with the handshake: 1 once it is done, 0 if it is not yet, -1 if it has failed. */
static int shake_hands(struct connection *c, bool *writable) {
    int n = SSL_connect(c->tls);
    if (n == 1) {
        resumed += (uint64_t)SSL_session_reused(c->tls);
        return 1;
    }
    int error = SSL_get_error(c->tls, n);
    ERR_clear_error();
    *writable = error == SSL_ERROR_WANT_WRITE;
    return error == SSL_ERROR_WANT_READ || *writable ? 0 : -1;
}
#else
static void prepare_tls(void) {}

static ssize_t transmit(struct connection *c, const void *data, size_t length) {
    return send(c->fd, data, length, MSG_NOSIGNAL);
}

static ssize_t obtain(struct connection *c, void *data, size_t length) { return recv(c->fd, data, length, 0); }

static int close_output(struct connection *c) { return shutdown(c->fd, SHUT_WR); }

static void let_go(struct connection *c) { close(c->fd); }

static bool begin_tls(struct connection *c) {
    (void)c;
    return false;
}

static int shake_hands(struct connection *c, bool *writable) {
    (void)c, (void)writable;
    return 1;
}
#endif

/* ---- connections ---- */

static void open_connection(struct connection *c);
static void completed(struct connection *c);
static void ended(struct connection *c);

static void want(struct connection *c, bool writable) {
    if (c->writable_wanted == writable) return;
    c->writable_wanted = writable;
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
}

static void release(struct connection *c) {
    let_go(c);
    c->state = UNUSED;
    open_now--;
}

static void open_another(struct connection *c) {
    if (options.work == CONNECT) {
        if (phase == RUN) open_connection(c);
    } else if (phase == OPEN && asked_for < options.connections) {
        open_connection(&connections[asked_for++]);
    }
}

static void failed(struct connection *c, enum fault fault) {
    faults[fault]++;
    failures++;
    release(c);
    if (failures < ENOUGH_ERRORS) open_another(c);
}

static void send_more(struct connection *c) {
    while (c->sent < c->goal) {
        size_t offset = (size_t)(c->sent % batch);
        uint64_t length = c->goal - c->sent;
        bool endless = c->goal == UINT64_MAX;
        if (length > pattern_length - offset) length = pattern_length - offset;
        if (endless && length > FIREHOSE_SEND) length = FIREHOSE_SEND;
        ssize_t n = transmit(c, requests + offset, (size_t)length);
        if (n < 0) {
            if (errno != EAGAIN) failed(c, RESET);
            else want(c, true);
            return;
        }
        c->sent += (uint64_t)n;
        if (endless) {
            want(c, true);
            return;
        }
    }
    want(c, false);
}

static void begin(struct connection *c, uint64_t when) {
    c->began = when;
    c->goal += phase == OPEN || options.work == FIREHOSE ? options.line : batch;
    send_more(c);
}

static void half_close(struct connection *c) {
    c->state = CLOSING;
    if (options.work == CONNECT && options.reset) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        ended(c);
    } else if (close_output(c) < 0) {
        failed(c, RESET);
    }
}

static void established(struct connection *c) {
    c->state = TALKING;
    if (options.work == CONNECT) { /* its clock began before connect() */
        c->goal = options.line;
        send_more(c);
    } else {
        begin(c, now());
    }
}

static void go_on_with_handshake(struct connection *c) {
    bool writable = false;
    int done = shake_hands(c, &writable);
    if (done < 0) failed(c, RESET);
    else if (done > 0) established(c);
    else want(c, writable);
}

static void connected(struct connection *c) {
    if (!begin_tls(c)) {
        established(c);
        return;
    }
    c->state = SHAKING_HANDS;
    go_on_with_handshake(c);
}

/* Connections from 127.0.0.1 alone would run out of ports (each stays in TIME_WAIT), so use its many neighbours. */
static void spread_source(int fd) {
    static uint32_t next;
    int one = 1;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u + next++ % 64)};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0) die("bind");
}

static void open_connection(struct connection *c) {
    bool again = c->state == WAITING;
    uint64_t began = again ? c->began : now();
    *c = (struct connection){.fd = -1, .state = WAITING, .began = began};
    if (again) waiting--;
    else open_now++;
    c->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (address.any.sa_family != AF_UNIX) {
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (address.any.sa_family == AF_INET && ntohl(address.v4.sin_addr.s_addr) >> 24 == 127) spread_source(c->fd);
    int outcome = connect(c->fd, &address.any, address_length);
    if (outcome < 0 && errno == EAGAIN) { /* a Unix socket whose backlog is full: try again in a moment */
        close(c->fd);
        waiting++;
        return;
    }
    if (outcome < 0 && errno != EINPROGRESS) {
        failed(c, REFUSED);
        return;
    }
    c->state = CONNECTING;
    c->writable_wanted = outcome < 0;
    struct epoll_event event = {.events = EPOLLIN | (outcome < 0 ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
    if (outcome == 0) connected(c);
}

static bool as_expected(const char *got, const char *expected, size_t length) {
    if (length <= CHECKED_WHOLE) return memcmp(got, expected, length) == 0;
    size_t tail = length - CHECKED_EDGE;
    return memcmp(got, expected, CHECKED_EDGE) == 0 && memcmp(got + tail, expected + tail, CHECKED_EDGE) == 0;
}

static void ended(struct connection *c) {
    if (c->state != CLOSING) {
        failed(c, ENDED_EARLY);
        return;
    }
    whole++;
    whole_bytes += c->got;
    release(c);
    if (options.work == CONNECT) {
        if (measuring) record(now() - c->began);
        open_another(c);
    }
}

static bool is_quiet(const struct connection *c) { return options.work == FIREHOSE && c != connections; }

static void quiet_replies(struct connection *c) {
    for (uint64_t when = now(); c->got - c->answered >= options.line; c->answered += options.line) {
        if (measuring) record(when - c->began);
        c->began += quiet_interval;
    }
}

static void receive(struct connection *c) {
    ssize_t n = obtain(c, received, RECEIVE);
    if (n < 0) {
        if (errno != EAGAIN) failed(c, RESET);
    } else if (n == 0) {
        ended(c);
    } else if (c->got + (uint64_t)n > c->sent) {
        failed(c, EXCESS);
    } else if (!as_expected(received, replies + c->got % batch, (size_t)n)) {
        failed(c, MISMATCH);
    } else {
        c->got += (uint64_t)n;
        if (measuring) bytes_measured += (uint64_t)n;
        if (is_quiet(c) && phase == RUN) quiet_replies(c);
        if (c->got == c->goal) completed(c);
    }
}

static void completed(struct connection *c) {
    uint64_t when = now();
    if (phase == OPEN) {
        ready++;
        c->answered = c->got;
        open_another(c);
    } else if (options.work == CONNECT || phase == CLOSE) {
        half_close(c);
    } else if (!is_quiet(c)) {
        if (measuring) record(when - c->began);
        begin(c, when);
    }
}

static void handle(struct connection *c, uint32_t events) {
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) failed(c, REFUSED);
        else connected(c);
        return;
    }
    if (c->state == SHAKING_HANDS) {
        go_on_with_handshake(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    if (events & EPOLLOUT && c->state == TALKING && c->writable_wanted) send_more(c);
}

/* The clock of the quiet clients. Each sends its line when it is due, answered or not, and each latency counts from
 * then: a client that waited for its reply would not send, and so not count, while the server stalls. */
static void tick(void) {
    uint64_t expirations = 0, quiet = options.connections - 1;
    if (read(ticker, &expirations, sizeof expirations) != sizeof expirations || phase != RUN) return;
    for (; expirations > 0; expirations--, ticks++) {
        struct connection *c = &connections[1 + ticks % quiet];
        if (c->state != TALKING) continue;
        bool idle = c->answered == c->goal; /* otherwise an older line's time counts on */
        begin(c, idle ? ticking_since + (ticks + 1) * (quiet_interval / quiet) : c->began);
    }
}

/* ---- phases ---- */

static void say(const char *stage) {
    puts(stage);
    fflush(stdout);
}

static void enter(enum phase next, uint64_t when) {
    phase = next;
    phase_began = when;
}

static void start_ticker(void) {
    uint64_t interval = QUIET_INTERVAL / (options.connections - 1);
    quiet_interval = interval * (options.connections - 1); /* rounded, so that the ticks of one client add up to it */
    struct timespec period = {.tv_sec = (time_t)(interval / SECOND), .tv_nsec = (long)(interval % SECOND)};
    struct itimerspec timer = {.it_interval = period, .it_value = period};
    ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (ticker < 0 || timerfd_settime(ticker, 0, &timer, NULL) < 0) die("timerfd");
    ticking_since = now();
    if (epoll_ctl(poller, EPOLL_CTL_ADD, ticker, &event) < 0) die("epoll_ctl");
}

static void watch_input(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &poller};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0) die("standard input cannot be waited for");
    say("holding");
}

static void start_run(void) {
    if (options.work == FIREHOSE) {
        connections[0].goal = UINT64_MAX;
        if (connections[0].state == TALKING) send_more(&connections[0]);
        start_ticker();
        return;
    }
    for (size_t i = 0; i < options.connections; i++) {
        if (options.work == CONNECT) open_connection(&connections[i]);
        else if (connections[i].state == TALKING) begin(&connections[i], now());
    }
}

static void start_close(void) {
    if (waiting > 0) { /* those never reached the server: nothing to close */
        open_now -= waiting;
        waiting = 0;
    }
    for (size_t i = 0; i < options.connections; i++) {
        struct connection *c = &connections[i];
        if (c->state != TALKING) continue;
        if (c->goal == UINT64_MAX) c->goal = (c->sent + batch - 1) / batch * batch;
        if (c->got == c->goal) half_close(c);
    }
}

static void measure(uint64_t when) {
    measuring = true;
    measured_from = when;
    cpu_from = cpu_seconds();
    say("measuring");
}

static void stop_measuring(uint64_t when) {
    measuring = false;
    /* What a quiet client still waits for counts with the time it has waited: starving would not show otherwise. */
    for (size_t i = 1; options.work == FIREHOSE && i < options.connections; i++) {
        const struct connection *c = &connections[i];
        if (c->state != TALKING) continue;
        uint64_t due = c->began;
        for (uint64_t at = c->answered; at < c->goal; at += options.line, due += quiet_interval)
            record(when > due ? when - due : 0);
    }
    measured_until = when;
    cpu_used = cpu_seconds() - cpu_from;
    say("measured");
}

static uint64_t lines_done(void) {
    return options.work == CONNECT ? exchanges : bytes_measured / options.line;
}

/* Move on to the next phase if it is time; false when all is done. */
static bool advance(bool input_ended) {
    uint64_t when = now(), passed = when - phase_began;
    switch (phase) {
    case OPEN:
        if (options.work != CONNECT && ready < options.connections) {
            if (passed < PHASE_TIMEOUT && failures == 0) return true;
            if (failures == 0) faults[TIMED_OUT] += options.connections - ready;
            return false; /* a server that cannot even be opened is not measured */
        }
        enter(options.work == HOLD ? HOLDING : RUN, when);
        if (options.work == HOLD) watch_input();
        else start_run();
        return true;
    case RUN:
        if (!measuring && passed >= (uint64_t)(options.warmup * 1e9)) measure(when);
        if (!measuring) return true;
        if (when - measured_from < (uint64_t)(options.seconds * 1e9) && lines_done() < options.max_lines &&
            failures < ENOUGH_ERRORS && open_now > 0)
            return true;
        stop_measuring(when);
        enter(CLOSE, when);
        start_close();
        return true;
    case HOLDING:
        if (!input_ended && passed < (uint64_t)(options.seconds * 1e9)) return true;
        enter(CLOSE, when);
        start_close();
        return true;
    case CLOSE:
        if (open_now > 0 && passed < PHASE_TIMEOUT) return true;
        faults[TIMED_OUT] += open_now;
        return false;
    }
    return false;
}

static void run(void) {
    struct epoll_event events[EVENTS];
    phase_began = now();
    if (options.work != CONNECT)
        while (asked_for < options.connections && asked_for < OPENING) open_connection(&connections[asked_for++]);
    bool input_ended = false;
    while (advance(input_ended)) {
        int n = epoll_wait(poller, events, EVENTS, waiting > 0 ? 1 : 5);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                tick();
            } else if (events[i].data.ptr == &poller) {
                char ignored[64];
                if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) input_ended = true;
                if (input_ended) epoll_ctl(poller, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            } else {
                handle(events[i].data.ptr, events[i].events);
            }
        }
        for (size_t i = 0; waiting > 0 && i < options.connections; i++)
            if (connections[i].state == WAITING) open_connection(&connections[i]);
    }
}

/* ---- the beginning and the end ---- */

static void parse_endpoint(const char *text) {
    char host[64];
    const char *colon = strrchr(text, ':');
    if (strncmp(text, "unix:", 5) == 0) {
        const char *path = text + 5;
        size_t length = strlen(path);
        if (length == 0 || length >= sizeof address.local.sun_path) wrong_usage("the Unix path is empty or too long");
        address.local.sun_family = AF_UNIX;
        memcpy(address.local.sun_path, path, length);
        if (path[0] == '@') address.local.sun_path[0] = '\0';
        address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        return;
    }
#ifdef TLS
    options.tls = strncmp(text, "tls://", 6) == 0;
#endif
    if ((!options.tls && strncmp(text, "tcp://", 6) != 0) || colon < text + 6)
        wrong_usage("an endpoint is tcp://IP:PORT, unix:PATH or, with OpenSSL, tls://IP:PORT");
    bool v6 = text[6] == '[';
    ptrdiff_t length = colon - text - 6 - (v6 ? 2 : 0);
    if (length <= 0 || length >= (ptrdiff_t)sizeof host) wrong_usage("an endpoint is tcp://IP:PORT or unix:PATH");
    memcpy(host, text + 6 + v6, (size_t)length);
    host[length] = '\0';
    uint16_t port = htons((uint16_t)atoi(colon + 1));
    address.any.sa_family = v6 ? AF_INET6 : AF_INET;
    if (v6) address.v6.sin6_port = port;
    else address.v4.sin_port = port;
    address_length = v6 ? sizeof address.v6 : sizeof address.v4;
    void *binary = v6 ? (void *)&address.v6.sin6_addr : (void *)&address.v4.sin_addr;
    if (inet_pton(address.any.sa_family, host, binary) != 1) wrong_usage("the host must be an IP address");
}

static double number(const char *text, double minimum, double maximum) {
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= minimum && value <= maximum)) wrong_usage("a number is out of range");
    return value;
}

static void parse(int argc, char **argv) {
    static const struct option known[] = {
        {"connections", required_argument, NULL, 'c'}, {"depth", required_argument, NULL, 'd'},
        {"line", required_argument, NULL, 'l'},        {"warmup", required_argument, NULL, 'w'},
        {"seconds", required_argument, NULL, 's'},     {"max-lines", required_argument, NULL, 'm'},
        {"reset", no_argument, NULL, 'r'},             {"resume", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (option) {
        case 'c': options.connections = (size_t)number(optarg, 1, MAX_CONNECTIONS); break;
        case 'd': options.depth = (size_t)number(optarg, 1, 1e6); break;
        case 'l': options.line = (size_t)number(optarg, 1, 1 << 26); break;
        case 'w': options.warmup = number(optarg, 0, 60); break;
        case 's': options.seconds = number(optarg, 0, 600); break;
        case 'm': options.max_lines = (uint64_t)number(optarg, 1, 1e15); break;
        case 'r': options.reset = true; break;
        case 't': options.resume = true; break;
        default: exit(2);
        }
    if (argc - optind != 2) wrong_usage("usage: load ENDPOINT WORK [--connections N] [--depth K] [--line BYTES] ...");
    parse_endpoint(argv[optind]);
    size_t work = 0;
    while (work < sizeof work_names / sizeof *work_names && strcmp(argv[optind + 1], work_names[work]) != 0) work++;
    if (work == sizeof work_names / sizeof *work_names) wrong_usage("WORK is lines, connect, firehose or hold");
    options.work = (enum work)work;
    if (options.work == FIREHOSE && options.connections < 2) wrong_usage("a firehose needs a quiet client beside it");
    if (options.work == CONNECT) options.depth = 1;
    if (options.line * options.depth > MAX_BATCH) wrong_usage("a batch is longer than 256 MiB");
}

static void prepare(void) {
    uint64_t random = UINT64_C(88172645463325252); /* xorshift64: the same lines in every run */
    batch = options.line * options.depth;
    pattern_length = batch + (batch > RECEIVE ? batch : RECEIVE);
    requests = malloc(pattern_length);
    replies = malloc(pattern_length);
    received = malloc(RECEIVE);
    connections = calloc(options.connections, sizeof *connections);
    if (!requests || !replies || !received || !connections) die("memory");
    for (size_t i = 0; i < pattern_length; i++) {
        if (i >= batch) {
            requests[i] = requests[i - batch];
        } else if ((i + 1) % options.line == 0) {
            requests[i] = '\n';
        } else {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            requests[i] = (char)('a' + random % 26);
        }
        replies[i] = (char)(requests[i] == '\n' ? '\n' : requests[i] - 'a' + 'A');
    }
    if (options.tls) prepare_tls();
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1");
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (options.connections + 16 > files.rlim_cur) wrong_usage("more connections than RLIMIT_NOFILE allows");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, SIG_DFL); /* whatever happens, it ends */
    alarm((unsigned)(options.warmup + options.seconds + 3 * (double)(PHASE_TIMEOUT / SECOND)));
}

static void report(void) {
    double seconds = (double)(measured_until - measured_from) / 1e9;
    double lines = options.work == CONNECT ? (double)exchanges : (double)bytes_measured / (double)options.line;
    printf("{\"work\": \"%s\", \"connections\": %zu, \"depth\": %zu, \"line\": %zu, \"operations\": %" PRIu64
           ", \"lines\": %.3f, \"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"throughput\": %.3f, ",
           work_names[options.work], options.connections, options.depth, options.line, exchanges, lines,
           bytes_measured, seconds, seconds > 0 ? lines / seconds : 0);
    if (exchanges > 0)
        printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, ", percentile(0.5) / 1e3, percentile(0.99) / 1e3,
               (double)slowest / 1e3);
    else
        printf("\"p50_us\": null, \"p99_us\": null, \"max_us\": null, ");
    printf("\"whole\": %" PRIu64 ", \"whole_bytes\": %" PRIu64 ", \"resumed\": %" PRIu64 ", ", whole, whole_bytes,
           resumed);
    printf("\"load_cpu\": %.3f, \"errors\": {", seconds > 0 ? cpu_used / seconds : 0);
    for (size_t i = 0; i < FAULTS; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", fault_names[i], faults[i]);
    puts("}}");
}

int main(int argc, char **argv) {
    parse(argc, argv);
    prepare();
    run();
    report();
    return 0;
}
