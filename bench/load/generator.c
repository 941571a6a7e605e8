/* Load generator: opens WebSocket connections, plays one job on them and prints what came back.
 *
 *     generator JOBFILE
 *
 * The job file is described in bench/load/job.py. One thread, one epoll loop, raw sockets to 127.0.0.1.
 * Frames go out ready-made with a zero mask key (legal, and the text needs no masking). What comes in is
 * neither split into frames nor parsed: every copy of a message is found by its marker "^^", followed by
 * the sender's number (6 digits) and the time it was sent (12 digits, microseconds). It does not answer
 * pings, does not judge the server's protocol, and ends by itself when its standard input is closed.
 *
 * While it measures it asks for events without ever sleeping: a sleeping reader would have to be woken by
 * the server's every write, at the server's cost, which no reader on another machine asks for. The share of
 * a core it reports is what it worked, without the time it asked in vain.
 */
#define _GNU_SOURCE
#include "generator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512 }; /* events taken from epoll at once */

struct job job = {.opening = 64, .mode = 'h', .patience = 30};
struct histogram echo, all, late;
struct tally tally;
struct client *clients;
int client_count, opening, ready, poller, sending;
uint64_t epoch, begin = UINT64_MAX, end = UINT64_MAX;

static int stopped;
static uint64_t slot, first_slot; /* next message of an open loop; when the first was due, us */
static uint64_t idle, turned;     /* time spent on turns without an event; end of the last turn, us */

/* -------------------------------------------------------------------------------- small helpers */

uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000 - epoch;
}

void fail(const char *what)
{
    printf("error %s: %s\n", what, errno ? strerror(errno) : "no further reason");
    exit(1);
}

void sample(struct histogram *histogram, uint64_t us)
{
    histogram->counts[us < BUCKETS ? us : BUCKETS - 1]++;
    histogram->total++;
    if (us > histogram->greatest)
        histogram->greatest = us;
}

static uint64_t percentile(const uint32_t *counts, uint64_t total, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)total * share);
    for (uint64_t us = 0; us < BUCKETS; us++)
        if ((seen += counts[us]) > wanted)
            return us;
    return 0;
}

/* -------------------------------------------------------------------------------------- the loop */

/* Sends the messages of an open loop that are due: message k belongs to client k modulo the number of
 * senders, so they are spread evenly over time. */
static void send_due(void)
{
    double gap = 1e6 / (job.rate * job.senders);
    for (;; slot++) {
        uint64_t now = now_us(), due = first_slot + (uint64_t)((double)slot * gap);
        if (due > now)
            return;
        if (now >= begin && now < end)
            sample(&late, now - due);
        send_next(clients + slot % (uint64_t)job.senders, now);
    }
}

/* One turn of the loop; waits at most `milliseconds` for events. */
static void turn(int milliseconds)
{
    struct epoll_event events[EVENTS];
    if (sending && job.mode == 'o')
        send_due();
    int got = epoll_wait(poller, events, EVENTS, milliseconds);
    if (got < 0 && errno != EINTR)
        fail("epoll_wait");
    for (int i = 0; i < got && !stopped; i++) {
        struct client *client = events[i].data.ptr;
        if (!client) {
            stopped = 1; /* standard input was closed */
            return;
        }
        if (client->state != GONE && events[i].events & EPOLLOUT)
            on_writable(client);
        if (client->state != GONE && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
            on_readable(client);
    }
    uint64_t now = now_us();
    if (got == 0)
        idle += now - turned;
    turned = now;
}

static void turn_until(uint64_t until, int milliseconds)
{
    while (!stopped && now_us() < until)
        turn(milliseconds);
}

/* -------------------------------------------------------------------------------------- the play */

/* Makes all clients ready; prints how long that took and the share of a core this program worked. */
static void open_all(void)
{
    uint64_t start = now_us(), limit = start + (uint64_t)(job.patience * 1e6), taken;
    int opened = 0;
    turned = start;
    while (!stopped && ready < client_count && !tally.dropped && now_us() < limit) {
        while (opened < client_count && opening < job.opening)
            open_client(clients + opened++);
        turn(0);
    }
    taken = now_us() - start;
    errno = 0;
    if (ready < client_count) {
        printf("error %d of %d clients ready after %.1f s, %d dropped\n", ready, client_count,
               (double)taken / 1e6, (int)tally.dropped);
        exit(1);
    }
    printf("seconds %.6f\nbusy %.6f\n", (double)taken / 1e6, (double)(taken - idle) / 1e6);
}

static void start_sending(void)
{
    sending = 1;
    first_slot = now_us();
    if (job.mode == 'c')
        for (int i = 0; i < job.senders * job.window; i++)
            send_next(clients + i % job.senders, now_us());
}

static void measure(void)
{
    start_sending();
    begin = now_us() + (uint64_t)(job.warmup * 1e6);
    end = begin + (uint64_t)(job.measure * 1e6);
    turn_until(begin, 0);
    puts("begin");
    uint64_t start = now_us();
    idle = 0;
    turn_until(end, 0);
    puts("end");
    uint64_t taken = now_us() - start;
    printf("busy %.6f\nseconds %.6f\n", idle < taken ? (double)(taken - idle) / 1e6 : 0.0, (double)taken / 1e6);
    sending = 0;
    turn_until(end + (uint64_t)(job.drain * 1e6), 1);
}

static void report_latency(const char *name, const struct histogram *histogram)
{
    static const int shares[] = {25, 50, 75, 99};
    for (int each = 0; each < 4; each++)
        printf("%s_p%d %lu\n", name, shares[each],
               percentile(histogram->counts, histogram->total, shares[each] / 100.));
    printf("%s_max %lu\n", name, histogram->greatest);
}

static void report(void)
{
    printf("copies %lu\nbytes %lu\nsent %lu\ndelivered %lu\nblocked %lu\ndropped %lu\n", tally.copies,
           tally.bytes, tally.sent, tally.delivered, tally.blocked, tally.dropped);
    report_latency("echo", &echo);
    report_latency("all", &all);
    report_latency("late", &late);
}

static void prepare(void)
{
    struct epoll_event input = {.events = EPOLLIN};
    setvbuf(stdout, NULL, _IOLBF, 0);
    epoch = now_us();
    poller = epoll_create1(EPOLL_CLOEXEC);
    echo.counts = calloc(BUCKETS, sizeof(uint32_t));
    all.counts = calloc(BUCKETS, sizeof(uint32_t));
    late.counts = calloc(BUCKETS, sizeof(uint32_t));
    if (poller < 0 || !echo.counts || !all.counts || !late.counts)
        fail("memory");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input))
        fail("standard input");
}

int main(int count, char **arguments)
{
    if (count != 2)
        return fputs("usage: generator JOBFILE\n", stderr), 2;
    prepare();
    read_job(arguments[1]);
    if (job.mode == 'h')
        puts("begin");
    open_all();
    if (job.mode == 'h') {
        puts("end");
        puts("holding");
        turn_until(UINT64_MAX, 1000);
    } else {
        measure();
    }
    report();
    return 0;
}
