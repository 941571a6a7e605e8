/* What the parts of the load generator share: the job, the clients, and what has been counted. */
#ifndef GENERATOR_H
#define GENERATOR_H

#include <stddef.h>
#include <stdint.h>

enum {
    SENDER_DIGITS = 6,
    TIME_DIGITS = 12,
    MARK = 2 + SENDER_DIGITS + TIME_DIGITS, /* bytes of a whole marker */
    CARRY = 64,                             /* most bytes kept from one chunk to the next */
    BUCKETS = 1 << 21                       /* 1 us each; later samples count as the last one */
};

enum state { WAITING, CONNECTING, UPGRADING, PREPARING, READY, GONE };

struct frame { char *bytes; size_t size; char *mark; };
struct step { char *expected; struct frame frame; }; /* a frame without bytes: only wait */
struct list { void *items; int count; };

struct client {
    int fd;
    enum state state;
    char *path;
    struct list steps, frames;
    int step, next_frame;
    const char *pending; /* rest of a frame that did not fit into the socket */
    size_t pending_size;
    char carry[CARRY];
    size_t carried;
};

struct job {
    int port, opening, senders, window, credit_any;
    double rate, warmup, measure, drain, patience; /* messages per second; seconds */
    char mode;                                     /* c: closed loop, o: open loop, h: hold */
};

struct histogram { uint32_t *counts; uint64_t total, greatest; };

struct tally { uint64_t copies, bytes, sent, delivered, blocked, dropped; };

extern struct job job;
extern struct histogram echo, all, late; /* of the sender itself, of every copy, and by how much this program sent too late */
extern struct tally tally;
extern struct client *clients;
extern int client_count, opening, ready, poller, sending;
extern uint64_t epoch, begin, end; /* begin and end of the measured interval, us */

/* generator.c */
uint64_t now_us(void);
void fail(const char *what);
void sample(struct histogram *histogram, uint64_t us);

/* job.c */
void read_job(const char *file_name);

/* connections.c */
void open_client(struct client *client);
void send_next(struct client *client, uint64_t now);
void on_writable(struct client *client);
void on_readable(struct client *client);

#endif
