/* Reads the job file (its lines are described in bench/load/job.py) and makes the frames ready to send. */
#define _GNU_SOURCE
#include "generator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_LINE = 1 << 16 }; /* bytes */

static void *grow(struct list *list, size_t size)
{
    list->items = realloc(list->items, size * (size_t)(list->count + 1));
    if (!list->items)
        fail("memory");
    return memset((char *)list->items + size * (size_t)list->count++, 0, size);
}

/* Turns hexadecimal digits into bytes, in place; returns how many. */
static size_t from_hex(char *digits)
{
    size_t size = strlen(digits) / 2;
    for (size_t i = 0; i < size; i++) {
        char pair[] = {digits[2 * i], digits[2 * i + 1], 0};
        digits[i] = (char)strtoul(pair, NULL, 16);
    }
    return size;
}

/* A whole masked frame with a zero mask key, and where its marker is; of "hex:..." a binary one. */
static struct frame make_frame(char *text)
{
    int binary = !strncmp(text, "hex:", 4);
    size_t size, head;
    if (binary)
        text += 4;
    size = binary ? from_hex(text) : strlen(text);
    head = size < 126 ? 2 : 4;
    struct frame frame = {.bytes = calloc(1, head + 4 + size), .size = head + 4 + size};
    if (!frame.bytes)
        fail("memory");
    frame.bytes[0] = (char)(binary ? 0x82 : 0x81);
    frame.bytes[1] = (char)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        frame.bytes[2] = (char)(size >> 8);
        frame.bytes[3] = (char)size;
    }
    memcpy(frame.bytes + head + 4, text, size);
    frame.mark = memmem(frame.bytes, frame.size, "^^", 2);
    return frame;
}

static void read_option(const char *name, const char *value)
{
    if (!strcmp(name, "port")) job.port = atoi(value);
    else if (!strcmp(name, "opening")) job.opening = atoi(value);
    else if (!strcmp(name, "senders")) job.senders = atoi(value);
    else if (!strcmp(name, "window")) job.window = atoi(value);
    else if (!strcmp(name, "credit")) job.credit_any = !strcmp(value, "any");
    else if (!strcmp(name, "mode")) job.mode = value[0];
    else if (!strcmp(name, "rate")) job.rate = atof(value);
    else if (!strcmp(name, "warmup")) job.warmup = atof(value);
    else if (!strcmp(name, "measure")) job.measure = atof(value);
    else if (!strcmp(name, "drain")) job.drain = atof(value);
    else if (!strcmp(name, "patience")) job.patience = atof(value);
    else fail(name);
}

void read_job(const char *file_name)
{
    static char line[LONGEST_LINE];
    struct list list = {0};
    struct client *client = NULL;
    FILE *file = fopen(file_name, "r");
    if (!file)
        fail(file_name);
    while (fgets(line, sizeof line, file)) {
        char *rest = line, *name, *value;
        rest[strcspn(rest, "\n")] = 0;
        name = strsep(&rest, "\t");
        value = strsep(&rest, "\t");
        if (!value)
            fail("a job line without a value");
        if (!strcmp(name, "client")) {
            client = grow(&list, sizeof *client);
            client->path = strdup(value);
        } else if (!strcmp(name, "step") && client) {
            struct step *step = grow(&client->steps, sizeof *step);
            step->expected = strdup(value);
            if (rest)
                step->frame = make_frame(rest);
        } else if (!strcmp(name, "frame") && client) {
            *(struct frame *)grow(&client->frames, sizeof(struct frame)) = make_frame(value);
        } else {
            read_option(name, value);
        }
    }
    fclose(file);
    clients = list.items;
    client_count = list.count;
}
