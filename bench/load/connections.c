/* The connections: opening them, what goes out, and counting what comes in. */
#define _GNU_SOURCE
#include "generator.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 }; /* bytes read at once */

static char chunk[CARRY + CHUNK];

static void put_digits(char *at, int width, uint64_t number)
{
    while (width--) {
        at[width] = (char)('0' + number % 10);
        number /= 10;
    }
}

static int64_t get_digits(const char *at, int width)
{
    int64_t number = 0;
    for (int i = 0; i < width; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        number = number * 10 + (at[i] - '0');
    }
    return number;
}

static void drop(struct client *client)
{
    if (client->state < READY)
        opening--;
    close(client->fd);
    client->state = GONE;
    tally.dropped++;
}

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(poller, operation, client->fd, &event))
        fail("epoll_ctl");
}

static void put_bytes(struct client *client, const char *bytes, size_t size)
{
    ssize_t gone;
    if (client->pending_size) {
        tally.blocked++;
        return;
    }
    gone = send(client->fd, bytes, size, MSG_NOSIGNAL);
    if (gone == (ssize_t)size)
        return;
    if (gone < 0 && errno != EAGAIN)
        return; /* the end of the connection is seen, and counted, when it is read */
    client->pending = bytes + (gone < 0 ? 0 : gone);
    client->pending_size = size - (gone < 0 ? 0 : (size_t)gone);
    watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

void send_next(struct client *client, uint64_t now)
{
    struct frame *frame = (struct frame *)client->frames.items + client->next_frame;
    if (now >= begin && now < end)
        tally.sent++;
    if (client->state != READY || client->pending_size) {
        tally.blocked++;
        return;
    }
    client->next_frame = (client->next_frame + 1) % client->frames.count;
    put_digits(frame->mark + 2, SENDER_DIGITS, (uint64_t)(client - clients));
    put_digits(frame->mark + 2 + SENDER_DIGITS, TIME_DIGITS, now);
    put_bytes(client, frame->bytes, frame->size);
}

static void next_step(struct client *client)
{
    client->carried = 0;
    if (client->step == client->steps.count) {
        client->state = READY;
        opening--;
        ready++;
        return;
    }
    client->state = PREPARING;
    struct step *step = (struct step *)client->steps.items + client->step;
    if (step->frame.size)
        put_bytes(client, step->frame.bytes, step->frame.size);
}

void open_client(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)job.port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        fail("socket");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connect");
    client->state = CONNECTING;
    opening++;
    watch(client, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* The socket takes bytes again: say the HTTP request, or the rest of a frame. */
void on_writable(struct client *client)
{
    char request[512];
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
    if (client->state == CONNECTING) {
        int size = snprintf(request, sizeof request,
                            "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
                            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: Y2xvdWRsaW5rIGJlbmNoIQ==\r\n\r\n",
                            client->path, job.port);
        client->state = UPGRADING;
        put_bytes(client, request, (size_t)size);
    } else if (client->pending_size) {
        const char *bytes = client->pending;
        size_t size = client->pending_size;
        client->pending_size = 0;
        put_bytes(client, bytes, size);
    }
}

/* -------------------------------------------------------------------------------- what comes in */

static void count_copy(struct client *client, int64_t sender, uint64_t sent, uint64_t now)
{
    int own = sender == client - clients;
    if (now >= begin && now < end)
        tally.copies++;
    if (sent >= begin && sent < end) {
        tally.delivered++;
        sample(&all, now - sent);
        if (own)
            sample(&echo, now - sent);
    }
    if (sending && job.mode == 'c' && (own || job.credit_any) && sender < client_count)
        send_next(clients + sender, now_us());
}

/* Counts the markers between `at` and `stop`; returns how many bytes at the end are not yet judged. */
static size_t count_markers(struct client *client, const char *at, const char *stop, uint64_t now)
{
    while ((at = memchr(at, '^', (size_t)(stop - at)))) {
        if (stop - at < MARK)
            return (size_t)(stop - at);
        int64_t sender = at[1] == '^' ? get_digits(at + 2, SENDER_DIGITS) : -1;
        int64_t sent = sender < 0 ? -1 : get_digits(at + 2 + SENDER_DIGITS, TIME_DIGITS);
        if (sent < 0) {
            at++;
            continue;
        }
        count_copy(client, sender, (uint64_t)sent, now);
        at += MARK;
    }
    return 0;
}

/* Looks for the answers that end the present step and those after it; returns how many bytes to keep. */
static size_t look_for_answers(struct client *client, const char *at, const char *stop)
{
    while (client->state != READY) {
        int upgrading = client->state == UPGRADING;
        const char *wanted = upgrading ? "\r\n\r\n"
                                       : ((struct step *)client->steps.items)[client->step].expected;
        size_t size = strlen(wanted), have = (size_t)(stop - at);
        const char *found = memmem(at, have, wanted, size);
        if (!found)
            return have < size ? have : size - 1;
        at = found + size;
        if (!upgrading)
            client->step++;
        next_step(client);
    }
    return 0;
}

void on_readable(struct client *client)
{
    char *at = chunk + CARRY - client->carried, *stop;
    ssize_t got = recv(client->fd, chunk + CARRY, CHUNK, 0);
    uint64_t now = now_us();
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(client);
        return;
    }
    tally.bytes += (uint64_t)got;
    memcpy(at, client->carry, client->carried);
    stop = chunk + CARRY + got;
    client->carried = client->state == READY ? count_markers(client, at, stop, now)
                                             : look_for_answers(client, at, stop);
    memcpy(client->carry, stop - client->carried, client->carried);
}
