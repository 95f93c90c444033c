/* A limit to compare with: CaaS by nothing but epoll in C, without framing, limits or deadlines.
 *
 *     epoll ENDPOINT        (tcp://IPV4:PORT or unix:PATH)
 *
 * What the kernel does not take at once waits in the connection's own memory, and while it waits nothing more is
 * read from that connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, EVENTS = 256, BACKLOG = 4096, ACCEPTED_AT_ONCE = 64 };

struct connection {
    int fd;
    char *unsent; /* NULL, or what is left of a reply */
    size_t begin, end;
};

static int poller;
static char chunk[CHUNK];

static void die(const char *what) {
    fprintf(stderr, "epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void finish(struct connection *c) {
    close(c->fd);
    free(c->unsent);
    free(c);
}

static void wait_for(struct connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
}

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, chunk, sizeof chunk, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) finish(c);
        return;
    }
    size_t length = (size_t)n;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)chunk[i];
        chunk[i] = (char)(byte - ((byte >= 'a' && byte <= 'z') ? 'a' - 'A' : 0));
    }
    n = send(c->fd, chunk, length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        finish(c);
        return;
    }
    size_t sent = n < 0 ? 0 : (size_t)n;
    if (sent == length) return;
    c->unsent = malloc(length - sent);
    if (c->unsent == NULL) die("malloc");
    memcpy(c->unsent, chunk + sent, length - sent);
    c->begin = 0;
    c->end = length - sent;
    wait_for(c, EPOLLOUT);
}

static void send_rest(struct connection *c) {
    ssize_t n = send(c->fd, c->unsent + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN) finish(c);
        return;
    }
    c->begin += (size_t)n;
    if (c->begin < c->end) return;
    free(c->unsent);
    c->unsent = NULL;
    wait_for(c, EPOLLIN);
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
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

static int listen_on(const char *endpoint) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_un local;
    } address = {.any.sa_family = AF_UNSPEC};
    socklen_t length;
    const char *colon = strrchr(endpoint, ':');
    char host[64] = "";
    if (strncmp(endpoint, "unix:", 5) == 0 && strlen(endpoint + 5) < sizeof address.local.sun_path) {
        address.local.sun_family = AF_UNIX;
        strcpy(address.local.sun_path, endpoint + 5);
        length = sizeof address.local;
    } else if (strncmp(endpoint, "tcp://", 6) == 0 && colon > endpoint + 6 && colon - endpoint - 6 < 64) {
        memcpy(host, endpoint + 6, (size_t)(colon - endpoint - 6));
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons((uint16_t)atoi(colon + 1));
        length = sizeof address.v4;
        if (inet_pton(AF_INET, host, &address.v4.sin_addr) != 1) die("an IPv4 address is needed");
    } else {
        die("an endpoint is tcp://IPV4:PORT or unix:PATH");
    }
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address.any.sa_family == AF_INET) /* accepted sockets inherit it */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, &address.any, length) < 0 || listen(fd, BACKLOG) < 0) die(endpoint);
    if (address.any.sa_family == AF_INET) {
        getsockname(fd, &address.any, &length);
        printf("listening on tcp://%s:%u\n", host, ntohs(address.v4.sin_port));
    } else {
        printf("listening on %s\n", endpoint);
    }
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: epoll ENDPOINT\n", stderr);
        return 2;
    }
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
            else if (c->unsent != NULL) send_rest(c);
            else receive(c);
        }
    }
}
