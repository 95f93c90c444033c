/* A limit to compare with over TLS: CaaS by epoll and OpenSSL in C, without framing, limits or deadlines.
 *
 *     epoll_tls tls://IPV4:PORT CERTIFICATE        (a file in PEM, with its key)
 *
 * While a reply waits for the client, nothing more is read from that connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD = 1 << 14, EVENTS = 256, BACKLOG = 4096, ACCEPTED_AT_ONCE = 64 };

struct connection {
    int fd;
    SSL *tls;
    bool writing;
    size_t length, sent; /* of the reply that waits */
    char *reply;
};

static int poller;
static SSL_CTX *context;

static void die(const char *what) {
    fprintf(stderr, "epoll_tls: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void finish(struct connection *c) {
    SSL_free(c->tls);
    close(c->fd);
    free(c->reply);
    free(c);
}

static void wait_for(struct connection *c, bool writable) {
    if (c->writing == writable) return;
    c->writing = writable;
    struct epoll_event event = {.events = writable ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
}

/* Return whether the connection goes on after a call that gave n; wait for what it wants. */
static bool goes_on(struct connection *c, int n) {
    int error = SSL_get_error(c->tls, n);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        wait_for(c, error == SSL_ERROR_WANT_WRITE);
        return true;
    }
    if (error == SSL_ERROR_ZERO_RETURN) SSL_shutdown(c->tls);
    finish(c);
    return false;
}

/* Send what is left of the reply; return whether all of it has been taken. */
static bool flush(struct connection *c) {
    while (c->sent < c->length) {
        int n = SSL_write(c->tls, c->reply + c->sent, (int)(c->length - c->sent));
        if (n <= 0) {
            goes_on(c, n);
            return false;
        }
        c->sent += (size_t)n;
    }
    free(c->reply);
    c->reply = NULL;
    wait_for(c, false);
    return true;
}

static void serve(struct connection *c) {
    static char chunk[RECORD];
    if (c->reply != NULL && !flush(c)) return;
    for (;;) {
        int n = SSL_read(c->tls, chunk, sizeof chunk);
        if (n <= 0) {
            goes_on(c, n);
            return;
        }
        for (int i = 0; i < n; i++) {
            unsigned char byte = (unsigned char)chunk[i];
            chunk[i] = (char)(byte - ((byte >= 'a' && byte <= 'z') ? 'a' - 'A' : 0));
        }
        int sent = SSL_write(c->tls, chunk, n);
        if (sent == n) continue;
        c->sent = sent > 0 ? (size_t)sent : 0;
        c->length = (size_t)n;
        c->reply = malloc(c->length);
        if (c->reply == NULL) die("malloc");
        memcpy(c->reply, chunk, c->length);
        if (sent <= 0) goes_on(c, sent);
        return;
    }
}

static void accept_some(int listener) {
    for (int i = 0; i < ACCEPTED_AT_ONCE; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            die("accept4");
        }
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) die("calloc");
        c->fd = fd;
        c->tls = SSL_new(context);
        if (c->tls == NULL || SSL_set_fd(c->tls, fd) != 1) die("OpenSSL");
        SSL_set_accept_state(c->tls);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

static int listen_on(const char *endpoint) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    const char *colon = strrchr(endpoint, ':');
    char host[64] = "";
    if (strncmp(endpoint, "tls://", 6) != 0 || colon <= endpoint + 6 || colon - endpoint - 6 >= 64)
        die("an endpoint is tls://IPV4:PORT");
    memcpy(host, endpoint + 6, (size_t)(colon - endpoint - 6));
    address.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("an IPv4 address is needed");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0) die(endpoint);
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("listening on tls://%s:%u\n", host, ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs("usage: epoll_tls ENDPOINT CERTIFICATE\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1)
        die("the certificate cannot be used");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    int listener = listen_on(argv[1]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll");
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == NULL) accept_some(listener);
            else serve(c);
        }
    }
}
