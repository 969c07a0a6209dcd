/* load: a WebSocket load generator on one epoll loop, one thread, no dependencies (Linux).
 *
 *     cc -O2 -o build/load load.c
 *     build/load echo    --port 8000 --path /ws/echo -c 100 --seconds 3
 *     build/load fanout  --port 8000 --path /ws/chat -c 1000 --window 64 --seconds 3 [--volley]
 *     build/load fanout  --port 8000 --path /ws/chat -c 100 --sleepers 1 --rate 100 --size 4096
 *     build/load idle    --port 8000 --path /ws/chat -c 10000
 *     build/load connect --port 8000 --path /ws/chat -c 5000 --concurrency 64
 *
 * echo     Closed loop: every connection has one message on its way and sends the next when it is back.
 * fanout   Connection 0 publishes; every connection, 0 included, is expected to receive each message once
 *          and in order. With --window W, W messages are kept in flight: a new one leaves when no more than
 *          W-1 messages' worth of deliveries are outstanding. With --volley as well, W leave at once, in one
 *          write, and the next W when all receivers have them all. With --rate R, messages leave on a
 *          schedule of R a second whatever comes back, and latency counts from the scheduled moment, so a
 *          server that stalls cannot hide it.
 *          --sleepers S adds S connections that join and then never read a byte; they are not receivers.
 * idle     Opens the connections, prints a line, then holds them until standard input ends.
 * connect  Opens the connections with at most --concurrency handshakes under way, and reports the rate.
 *
 * Messages carry a marker, "#" and eight hex digits and ";", padded with "x" to --size bytes. Markers are
 * looked for inside each frame, so neither an envelope around the text nor several messages in one frame nor
 * several frames in one read disturbs the count. For servers that speak something on top of WebSocket:
 *
 *     --template '42["msg","@@"]'   the frame to send; @@ becomes the message
 *     --first 40                    a frame to send after the upgrade (repeatable)
 *     --await 2                     data frames that must come before a connection counts as open
 *     --reply 2=3                   answer a frame that equals "2" with "3" (repeatable)
 *
 * --watch PID (repeatable) adds the CPU seconds which those processes spent inside the measured window.
 * Results are JSON, one object a line, on standard output. Latencies are milliseconds. Latency percentiles
 * come from a histogram of every message, none skipped, with buckets 1.6 % wide.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum mode { ECHO, FANOUT, IDLE, CONNECT };
static const char *const MODES[] = {"echo", "fanout", "idle", "connect"};

enum { FEW = 8, MARKER = 10, SCRATCH = 1 << 18, MESSAGE_MAX = 1 << 16, RING = 1 << 16, EVENTS = 512 };
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

static const uint64_t SECOND = 1000000000;
static const double DRAIN_SECONDS = 1;  /* how long messages due inside the window may still arrive */
static const double WAKE_SECONDS = 1;   /* how long sleepers read at the end, to see whether they were cut off */
static const double STALL_SECONDS = 3;  /* a closed window in which nothing arrives for so long is given up */
static const double OPEN_SECONDS = 20;  /* the same, while connections are being opened */
static const int PER_SOURCE = 10000;    /* connections from one 127.0.0.x, well inside its range of ports */

static struct {
    enum mode mode;
    const char *host, *path, *template, *first[FEW], *reply_to[FEW], *reply[FEW];
    int port, connections, sleepers, concurrency, window, firsts, awaited, replies, watched;
    int watch[FEW];
    size_t size;
    bool volley;
    double seconds, warmup, settle, rate;
} opt = {.host = "127.0.0.1", .path = "/", .template = "@@", .connections = 100, .concurrency = 64,
         .window = 1, .size = 32, .seconds = 3, .warmup = 0.5, .settle = 0.3};

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* --- time, CPU time, latencies ------------------------------------------------------------------------ */

static uint64_t tick; /* the time of the read being handled, in nanoseconds */

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static double own_cpu(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* User plus system time of the watched processes: fields 14 and 15 of /proc/PID/stat, in clock ticks. */
static double watched_cpu(void) {
    double total = 0;
    for (int i = 0; i < opt.watched; i++) {
        char path[64], line[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", opt.watch[i]);
        FILE *file = fopen(path, "r");
        if (!file || !fgets(line, sizeof line, file)) die("process %d is gone", opt.watch[i]);
        fclose(file);
        unsigned long user, system;
        /* The second field is the command's name, which may hold spaces: count from the last bracket. */
        const char *after = strrchr(line, ')');
        if (!after || sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
            die("cannot read %s", path);
        total += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    return total;
}

static struct { uint64_t count[64 * 64], total, longest; } latency; /* 64 buckets to each power of two */

static void record(uint64_t ns) {
    unsigned bucket = (unsigned)ns;
    if (ns >= 64) {
        unsigned shift = 57 - (unsigned)__builtin_clzll(ns);
        bucket = (shift << 6) + (unsigned)(ns >> shift);
    }
    latency.count[bucket]++;
    latency.total++;
    if (ns > latency.longest) latency.longest = ns;
}

static double percentile_ms(double share) {
    uint64_t wanted = (uint64_t)(share * (double)latency.total), seen = 0;
    for (unsigned bucket = 0; bucket < 64 * 64; bucket++) {
        seen += latency.count[bucket];
        if (seen <= wanted) continue;
        if (bucket < 64) return bucket / 1e6;
        unsigned shift = (bucket >> 6) - 1;
        uint64_t low = (uint64_t)((bucket & 63) | 64) << shift;
        return ((double)low + (double)(1ull << shift) / 2) / 1e6;
    }
    return (double)latency.longest / 1e6;
}

/* --- connections -------------------------------------------------------------------------------------- */

enum state { CONNECTING, UPGRADING, GREETING, OPEN, SLEEPING, CLOSED };

struct connection {
    int fd;
    enum state state;
    int awaited;       /* data frames still to come before it counts as open */
    uint32_t next;     /* fanout: the message it should receive next */
    uint64_t since;    /* when it began to connect; later, when its echo left */
    uint8_t *rest;     /* received bytes of a frame that is not complete */
    uint8_t *unsent;   /* bytes the socket did not take yet */
    size_t rest_length, unsent_length;
};

static struct connection *connections;
static int total, started, opened, closed, sleepers_closed;
static int poller, timer = -1;
static bool input_ended, sleepers_awake;
static uint64_t last_opened;

static void on_data(struct connection *c, const uint8_t *payload, size_t length);

static int index_of(const struct connection *c) { return (int)(c - connections); }

static void interest(const struct connection *c, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)index_of(c)};
    if (epoll_ctl(poller, operation, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void gone(struct connection *c, const char *why) {
    if (c->state < OPEN) die("connection %d failed before it was open: %s", index_of(c), why);
    if (c->state == SLEEPING) sleepers_closed++;
    else closed++;
    c->state = CLOSED;
    close(c->fd);
    free(c->rest);
    free(c->unsent);
    c->rest = c->unsent = NULL;
    c->rest_length = c->unsent_length = 0;
}

/* Keeps a copy of `data` as the contents of a buffer, NULL when there is nothing to keep. */
static void keep(uint8_t **buffer, size_t *length, const uint8_t *data, size_t n) {
    uint8_t *copy = NULL;
    if (n && !(copy = malloc(n))) die("out of memory");
    if (n) memcpy(copy, data, n);
    free(*buffer);
    *buffer = copy;
    *length = n;
}

static void transmit(struct connection *c, const uint8_t *data, size_t length) {
    if (c->state == CLOSED) return;
    if (c->unsent) { /* order: behind what already waits */
        c->unsent = realloc(c->unsent, c->unsent_length + length);
        if (!c->unsent) die("out of memory");
        memcpy(c->unsent + c->unsent_length, data, length);
        c->unsent_length += length;
        return;
    }
    ssize_t sent = send(c->fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        gone(c, strerror(errno));
        return;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == length) return;
    keep(&c->unsent, &c->unsent_length, data + done, length - done);
    interest(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void transmit_rest(struct connection *c) {
    uint8_t *data = c->unsent;
    size_t length = c->unsent_length;
    c->unsent = NULL;
    c->unsent_length = 0;
    interest(c, EPOLLIN, EPOLL_CTL_MOD);
    if (data) transmit(c, data, length);
    free(data);
}

/* --- frames (RFC 6455, section 5.2) ------------------------------------------------------------------- */

/* Writes a final, masked frame and returns its length; `out` needs 14 bytes more than the payload. */
static size_t client_frame(uint8_t *out, uint8_t opcode, const uint8_t *payload, size_t length) {
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t n = 0;
    out[n++] = 0x80 | opcode;
    if (length < 126) {
        out[n++] = 0x80 | (uint8_t)length;
    } else if (length < 65536) {
        out[n++] = 0x80 | 126;
        for (int shift = 8; shift >= 0; shift -= 8) out[n++] = (uint8_t)(length >> shift);
    } else {
        out[n++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) out[n++] = (uint8_t)((uint64_t)length >> shift);
    }
    memcpy(out + n, mask, 4);
    n += 4;
    for (size_t i = 0; i < length; i++) out[n + i] = payload[i] ^ mask[i & 3];
    return n + length;
}

static void transmit_frame(struct connection *c, uint8_t opcode, const void *payload, size_t length) {
    uint8_t frame[4096 + 14];
    if (length > 4096) die("a frame of %zu bytes is too long here", length);
    transmit(c, frame, client_frame(frame, opcode, payload, length));
}

static bool answer_by_rule(struct connection *c, const uint8_t *payload, size_t length) {
    for (int i = 0; i < opt.replies; i++) {
        if (length == strlen(opt.reply_to[i]) && !memcmp(payload, opt.reply_to[i], length)) {
            transmit_frame(c, TEXT, opt.reply[i], strlen(opt.reply[i]));
            return true;
        }
    }
    return false;
}

static void now_open(struct connection *c) {
    bool sleeps = index_of(c) >= opt.connections;
    c->state = sleeps ? SLEEPING : OPEN;
    if (sleeps) interest(c, EPOLLRDHUP, EPOLL_CTL_MOD); /* wake for a hang-up, never for data */
    if (opt.mode == CONNECT || opt.mode == IDLE) record(tick - c->since);
    opened++;
    last_opened = tick;
}

static void on_frame(struct connection *c, uint8_t opcode, const uint8_t *payload, size_t length) {
    if (opcode == PING) {
        transmit_frame(c, PONG, payload, length);
    } else if (opcode == CLOSE) {
        gone(c, "the server sent a close frame");
    } else if (opcode < CLOSE) {
        if (answer_by_rule(c, payload, length)) return;
        if (c->state == GREETING && --c->awaited == 0) now_open(c);
        else if (c->state == OPEN) on_data(c, payload, length);
    }
}

/* Handles every complete frame in `data`; returns the number of bytes used. */
static size_t split_frames(struct connection *c, const uint8_t *data, size_t length) {
    size_t used = 0;
    while (length - used >= 2 && (c->state == OPEN || c->state == GREETING)) {
        const uint8_t *p = data + used;
        size_t header = 2, size = p[1] & 0x7f, extra = size == 126 ? 2 : size == 127 ? 8 : 0;
        if (p[0] & 0x70 || p[1] & 0x80) die("a server frame is compressed or masked: %02x %02x", p[0], p[1]);
        if (length - used < header + extra) break;
        if (extra) size = 0;
        for (size_t i = 0; i < extra; i++) size = size << 8 | p[header + i];
        header += extra;
        if (header + size > SCRATCH) die("a server frame of %zu bytes is too long", size);
        if (length - used < header + size) break;
        used += header + size;
        on_frame(c, p[0] & 0x0f, p + header, size);
    }
    return used;
}

/* --- opening ------------------------------------------------------------------------------------------ */

static void start_connection(struct connection *c) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    if (inet_pton(AF_INET, opt.host, &server.sin_addr) != 1) die("not an IPv4 address: %s", opt.host);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s (connection %d)", strerror(errno), index_of(c));
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct linger reset = {.l_onoff = 1}; /* leave by reset, so that no port lingers between runs */
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (index_of(c) >= opt.connections) {
        /* A sleeper sits behind an ordinary network: with loopback's 64 KiB segments the kernel alone would
         * swallow megabytes before the server noticed anything. */
        int segment = 1400, buffer = 4096;
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
    if (ntohl(server.sin_addr.s_addr) >> 24 == 127 && total > PER_SOURCE) {
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(index_of(c) / PER_SOURCE));
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(c->fd, (struct sockaddr *)&source, sizeof source)) die("bind: %s", strerror(errno));
    }
    c->state = CONNECTING;
    c->awaited = opt.awaited;
    c->since = clock_ns();
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        die("connect: %s (connection %d)", strerror(errno), index_of(c));
    interest(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void send_upgrade(struct connection *c) {
    int fault = 0;
    socklen_t size = sizeof fault;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &fault, &size);
    if (fault) gone(c, strerror(fault));
    char request[2048];
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: aHVidWIgYmVuY2htYXJrcw==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                          opt.path, opt.host, opt.port);
    if (length >= (int)sizeof request) die("the path is too long");
    c->state = UPGRADING;
    interest(c, EPOLLIN, EPOLL_CTL_MOD);
    transmit(c, (uint8_t *)request, (size_t)length);
}

/* Looks for the end of the server's answer; returns the bytes used, 0 when more must come. */
static size_t finish_upgrade(struct connection *c, const uint8_t *data, size_t length) {
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(data, "HTTP/1.1 101", 12)) {
        const uint8_t *line = memchr(data, '\r', length);
        die("the server refused: %.*s", (int)(line - data), (const char *)data);
    }
    c->state = GREETING;
    for (int i = 0; i < opt.firsts; i++) transmit_frame(c, TEXT, opt.first[i], strlen(opt.first[i]));
    if (c->awaited == 0) now_open(c);
    return (size_t)(end + 4 - data);
}

/* --- the loop ----------------------------------------------------------------------------------------- */

static void on_readable(struct connection *c) {
    static uint8_t scratch[2 * SCRATCH]; /* one for all: only unfinished frames are kept per connection */
    size_t length = c->rest_length;
    if (length) memcpy(scratch, c->rest, length);
    ssize_t got = recv(c->fd, scratch + length, SCRATCH, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        gone(c, got ? strerror(errno) : "the server hung up");
        return;
    }
    tick = clock_ns();
    length += (size_t)got;
    size_t used = 0;
    if (c->state == UPGRADING) used = finish_upgrade(c, scratch, length);
    if (c->state == GREETING || c->state == OPEN) used += split_frames(c, scratch + used, length - used);
    if (c->state != CLOSED && c->state != SLEEPING && (c->rest || used < length))
        keep(&c->rest, &c->rest_length, scratch + used, length - used);
}

/* Asleep, it hears of a reset only; awake, it reads what is left and finds out whether that ends. */
static void on_sleeper(struct connection *c) {
    static uint8_t discarded[SCRATCH];
    ssize_t got = sleepers_awake ? recv(c->fd, discarded, sizeof discarded, 0) : 0;
    if (got == 0 || (got < 0 && errno != EAGAIN)) gone(c, "the server hung up");
}

static const uint32_t TIMER_EVENT = UINT32_MAX, INPUT_EVENT = UINT32_MAX - 1;

static void poll_once(int timeout_ms) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, timeout_ms);
    tick = clock_ns();
    for (int i = 0; i < count; i++) {
        uint32_t id = events[i].data.u32, what = events[i].events;
        if (id == TIMER_EVENT) {
            uint64_t expirations;
            if (read(timer, &expirations, sizeof expirations) < 0) continue;
        } else if (id == INPUT_EVENT) {
            char ignored[256];
            if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) input_ended = true;
        } else {
            struct connection *c = &connections[id];
            if (c->state == CLOSED) continue;
            if (c->state == CONNECTING) send_upgrade(c);
            else if (c->state == SLEEPING) on_sleeper(c);
            else {
                if (what & EPOLLOUT) transmit_rest(c);
                if (what & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->state != CLOSED) on_readable(c);
            }
        }
    }
}

static void open_all(void) {
    tick = last_opened = clock_ns();
    while (opened < total) {
        while (started < total && started - opened < opt.concurrency) start_connection(&connections[started++]);
        poll_once(100);
        if (tick - last_opened > (uint64_t)(OPEN_SECONDS * 1e9)) die("opened %d of %d, then nothing", opened, total);
    }
}

static void poll_for(double seconds) {
    uint64_t until = clock_ns() + (uint64_t)(seconds * 1e9);
    while ((tick = clock_ns()) < until) poll_once((int)((until - tick) / 1000000) + 1);
}

/* --- the measured window ------------------------------------------------------------------------------ */

static bool measuring;
static uint64_t measured_from;
static double measured_seconds, load_cpu, server_cpu;

static void begin_measuring(void) {
    measuring = true;
    load_cpu = own_cpu();
    server_cpu = watched_cpu();
    measured_from = clock_ns();
}

static void end_measuring(void) {
    measuring = false;
    measured_seconds = (double)(clock_ns() - measured_from) / 1e9;
    server_cpu = watched_cpu() - server_cpu;
    load_cpu = own_cpu() - load_cpu;
}

static void report(const char *counted, uint64_t count) {
    printf("{\"mode\": \"%s\", \"connections\": %d, \"seconds\": %.4f, \"%s\": %llu, \"rate\": %.1f, "
           "\"server_cpu_s\": %.3f, \"load_cpu_share\": %.3f, \"disconnected\": %d",
           MODES[opt.mode], opt.connections, measured_seconds, counted, (unsigned long long)count,
           (double)count / measured_seconds, server_cpu, load_cpu / measured_seconds, closed);
    if (latency.total)
        printf(", \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f", percentile_ms(.5),
               percentile_ms(.9), percentile_ms(.99), (double)latency.longest / 1e6);
}

/* --- messages and their markers ----------------------------------------------------------------------- */

static uint8_t message[MESSAGE_MAX];
static size_t message_length, marker_at;

static void prepare_message(void) {
    const char *hole = strstr(opt.template, "@@");
    size_t size = opt.size < MARKER ? MARKER : opt.size;
    if (!hole) die("the template has no @@");
    if (strlen(opt.template) + size > MESSAGE_MAX) die("the message is too long");
    marker_at = (size_t)(hole - opt.template);
    memcpy(message, opt.template, marker_at);
    memset(message + marker_at, 'x', size);
    memcpy(message + marker_at, "#00000000;", MARKER);
    memcpy(message + marker_at + size, hole + 2, strlen(hole + 2));
    message_length = marker_at + size + strlen(hole + 2);
}

static size_t message_frame(uint8_t *out, uint32_t sequence) {
    for (int i = 0; i < 8; i++) message[marker_at + 8 - (size_t)i] = (uint8_t)"0123456789abcdef"[sequence >> 4 * i & 15];
    return client_frame(out, TEXT, message, message_length);
}

/* Finds the next marker at or after *from, moves *from behind it, and gives its number. */
static bool next_marker(const uint8_t **from, const uint8_t *end, uint32_t *sequence) {
    while (end - *from >= MARKER) {
        const uint8_t *p = memchr(*from, '#', (size_t)(end - *from - MARKER + 1));
        if (!p) return false;
        *from = p + 1;
        uint32_t number = 0;
        int digits = 0;
        for (; digits < 8; digits++) {
            uint8_t d = p[1 + digits];
            if (d >= '0' && d <= '9') number = number << 4 | (uint32_t)(d - '0');
            else if (d >= 'a' && d <= 'f') number = number << 4 | (uint32_t)(d - 'a' + 10);
            else break;
        }
        if (digits < 8 || p[9] != ';') continue;
        *from = p + MARKER;
        *sequence = number;
        return true;
    }
    return false;
}

/* --- echo --------------------------------------------------------------------------------------------- */

static uint8_t echo_frame[MESSAGE_MAX + 14];
static size_t echo_length;
static uint64_t echoes;

static void on_echo(struct connection *c) {
    if (measuring) {
        echoes++;
        record(tick - c->since);
    }
    c->since = tick;
    transmit(c, echo_frame, echo_length);
}

static void run_echo(void) {
    echo_length = message_frame(echo_frame, 0);
    uint64_t begin = clock_ns() + (uint64_t)(opt.warmup * 1e9), end = begin + (uint64_t)(opt.seconds * 1e9);
    for (int i = 0; i < total; i++) {
        connections[i].since = clock_ns();
        transmit(&connections[i], echo_frame, echo_length);
    }
    while (tick < end) {
        poll_once(100);
        if (!measuring && tick >= begin) begin_measuring();
    }
    end_measuring();
    report("echoes", echoes);
    puts("}");
}

/* --- fan-out ------------------------------------------------------------------------------------------ */

static struct { uint64_t at; int missing; bool measured; } ring[RING]; /* what is in flight, by number */
static uint32_t published, settled;
static uint64_t outstanding, deliveries, measured_messages, lost, disordered, last_delivery;

static void settle(uint32_t sequence) {
    outstanding--;
    if (--ring[sequence % RING].missing == 0) settled++;
}

static void deliver(struct connection *c, uint32_t sequence) {
    if (sequence < c->next || sequence >= published) {
        disordered++;
        return;
    }
    while (c->next < sequence) { /* a gap: the server skipped these */
        lost++;
        settle(c->next++);
    }
    c->next++;
    if (measuring) deliveries++;
    if (opt.rate > 0 ? ring[sequence % RING].measured : measuring) record(tick - ring[sequence % RING].at);
    settle(sequence);
    last_delivery = tick;
}

/* Appends a message to `batch`; the caller sends the batch with one write. */
static size_t publish(uint8_t *batch, uint64_t at) {
    uint32_t sequence = published++;
    ring[sequence % RING].at = at;
    ring[sequence % RING].missing = opt.connections - closed;
    outstanding += (uint64_t)(opt.connections - closed);
    ring[sequence % RING].measured = measuring;
    measured_messages += measuring;
    return message_frame(batch, sequence);
}

static void publish_due(uint64_t started_at, uint64_t interval) {
    static uint8_t batch[4 * MESSAGE_MAX];
    size_t length = 0;
    uint64_t now = clock_ns(), receivers = (uint64_t)(opt.connections - closed);
    if (opt.volley && outstanding) return;
    while (length + message_length + 14 <= sizeof batch && published - settled < RING / 2) {
        uint64_t at = now;
        if (interval) {
            at = started_at + published * interval;
            if (at > now) break;
        } else if (outstanding > (uint64_t)(opt.window - 1) * receivers) {
            break;
        }
        length += publish(batch + length, at);
    }
    if (length) transmit(&connections[0], batch, length);
}

/* A receiver that was cut off will not get what is in flight. */
static void write_off(struct connection *c) {
    while (c->next < published) {
        lost++;
        settle(c->next++);
    }
}

static uint64_t count_undelivered(void) {
    uint64_t undelivered = 0;
    tick = clock_ns();
    for (int i = 0; i < opt.connections; i++) {
        for (uint32_t s = connections[i].next; s < published; s++) {
            if (!ring[s % RING].measured) continue;
            undelivered++;
            record(tick - ring[s % RING].at); /* it waited at least as long as this */
        }
    }
    return undelivered;
}

/* A server that cut a sleeper off cannot tell it so: the news waits in the kernel behind unread data. */
static void wake_sleepers(void) {
    int buffer = 1 << 20;
    sleepers_awake = true;
    for (int i = opt.connections; i < total; i++) {
        if (connections[i].state != SLEEPING) continue;
        setsockopt(connections[i].fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        interest(&connections[i], EPOLLIN, EPOLL_CTL_MOD);
    }
    poll_for(opt.sleepers ? WAKE_SECONDS : 0);
}

static void run_fanout(void) {
    uint64_t interval = opt.rate > 0 ? (uint64_t)(1e9 / opt.rate) : 0, begun = clock_ns();
    uint64_t begin = begun + (uint64_t)(opt.warmup * 1e9), end = begin + (uint64_t)(opt.seconds * 1e9);
    bool stalled = false;
    int known_closed = 0;
    if (interval) {
        struct itimerspec each = {.it_interval.tv_sec = (time_t)(interval / SECOND),
                                  .it_interval.tv_nsec = (long)(interval % SECOND)};
        each.it_value = each.it_interval;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = TIMER_EVENT};
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        timerfd_settime(timer, 0, &each, NULL);
        epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    }
    last_delivery = tick = begun;
    while (tick < end && !stalled) {
        publish_due(begun, interval);
        poll_once(100);
        if (!measuring && tick >= begin) begin_measuring();
        for (int i = 0; known_closed < closed && i < opt.connections; i++)
            if (connections[i].state == CLOSED && connections[i].next < published) write_off(&connections[i]);
        known_closed = closed;
        if (connections[0].state == CLOSED) die("the server cut the publisher off");
        stalled = !interval && tick - last_delivery > (uint64_t)(STALL_SECONDS * 1e9);
    }
    if (!measuring) begin_measuring();
    end_measuring();
    uint64_t undelivered = 0, drained = clock_ns() + (uint64_t)(DRAIN_SECONDS * 1e9);
    if (interval) { /* in a closed loop something is always on its way */
        while (outstanding && tick < drained) poll_once(20);
        undelivered = count_undelivered();
    }
    wake_sleepers();
    report("deliveries", deliveries);
    printf(", \"messages\": %llu, \"undelivered\": %llu, \"lost\": %llu, \"disordered\": %llu, \"stalled\": %s, "
           "\"sleepers\": %d, \"sleepers_closed\": %d, \"offered_rate\": %.1f, \"window\": %d, \"volley\": %s, \"size\": %zu}\n",
           (unsigned long long)measured_messages, (unsigned long long)undelivered, (unsigned long long)lost,
           (unsigned long long)disordered, stalled ? "true" : "false", opt.sleepers, sleepers_closed, opt.rate,
           interval ? 0 : opt.window, opt.volley ? "true" : "false", opt.size);
}

static void on_data(struct connection *c, const uint8_t *payload, size_t length) {
    const uint8_t *at = payload, *end = payload + length;
    uint32_t sequence;
    if (opt.mode == ECHO && next_marker(&at, end, &sequence)) on_echo(c);
    while (opt.mode == FANOUT && next_marker(&at, end, &sequence)) deliver(c, sequence);
}

/* --- idle and connect --------------------------------------------------------------------------------- */

static void run_opening(void) {
    begin_measuring();
    open_all();
    end_measuring();
    report("opened", (uint64_t)opened);
    puts("}");
    fflush(stdout);
}

static void run_idle(void) {
    run_opening();
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = INPUT_EVENT};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event)) die("idle needs a pipe as standard input");
    while (!input_ended) poll_once(1000);
    printf("{\"mode\": \"idle\", \"held\": %d, \"disconnected\": %d}\n", opened - closed, closed);
}

/* --- the command line --------------------------------------------------------------------------------- */

static int at_most_few(int count) {
    if (count >= FEW) die("at most %d of a repeatable option", FEW);
    return count;
}

static void parse_reply(char *rule) {
    char *sign = strchr(rule, '=');
    if (!sign) die("--reply needs IN=OUT");
    *sign = 0;
    opt.reply_to[at_most_few(opt.replies)] = rule;
    opt.reply[opt.replies++] = sign + 1;
}

static void parse_options(int argc, char **argv) {
    enum { HOST = 256, PORT, PATH, SLEEPERS, CONCURRENCY, WINDOW, SIZE, SECONDS, WARMUP, SETTLE, RATE, TEMPLATE,
           FIRST, AWAIT, REPLY, WATCH, VOLLEY };
    static const struct option longs[] = {
        {"host", 1, 0, HOST}, {"port", 1, 0, PORT}, {"path", 1, 0, PATH}, {"connections", 1, 0, 'c'},
        {"sleepers", 1, 0, SLEEPERS}, {"concurrency", 1, 0, CONCURRENCY}, {"window", 1, 0, WINDOW},
        {"size", 1, 0, SIZE}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP}, {"settle", 1, 0, SETTLE},
        {"rate", 1, 0, RATE}, {"template", 1, 0, TEMPLATE}, {"first", 1, 0, FIRST}, {"await", 1, 0, AWAIT},
        {"reply", 1, 0, REPLY}, {"watch", 1, 0, WATCH}, {"volley", 0, 0, VOLLEY}, {0, 0, 0, 0}};
    int mode = 0, option;
    while (argc > 1 && mode < 4 && strcmp(argv[1], MODES[mode])) mode++;
    if (argc < 2 || mode == 4) die("the first argument is echo, fanout, idle or connect; see the head of load.c");
    opt.mode = (enum mode)mode;
    optind = 2;
    while ((option = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
        switch (option) {
        case HOST: opt.host = optarg; break;
        case PORT: opt.port = atoi(optarg); break;
        case PATH: opt.path = optarg; break;
        case 'c': opt.connections = atoi(optarg); break;
        case SLEEPERS: opt.sleepers = atoi(optarg); break;
        case CONCURRENCY: opt.concurrency = atoi(optarg); break;
        case WINDOW: opt.window = atoi(optarg); break;
        case VOLLEY: opt.volley = true; break;
        case SIZE: opt.size = (size_t)atol(optarg); break;
        case SECONDS: opt.seconds = atof(optarg); break;
        case WARMUP: opt.warmup = atof(optarg); break;
        case SETTLE: opt.settle = atof(optarg); break;
        case RATE: opt.rate = atof(optarg); break;
        case TEMPLATE: opt.template = optarg; break;
        case FIRST: opt.first[at_most_few(opt.firsts)] = optarg; opt.firsts++; break;
        case AWAIT: opt.awaited = atoi(optarg); break;
        case REPLY: parse_reply(optarg); break;
        case WATCH: opt.watch[at_most_few(opt.watched)] = atoi(optarg); opt.watched++; break;
        default: exit(2);
        }
    }
    if (opt.port <= 0 || opt.connections <= 0 || opt.concurrency <= 0) die("--port, -c and --concurrency are positive");
    if (opt.window <= 0 || opt.window > RING / 2) die("--window is 1 to %d", RING / 2);
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    total = opt.connections + opt.sleepers;
    if ((rlim_t)total + 16 > files.rlim_cur) die("%d connections need more open files than %ld", total, (long)files.rlim_cur);
    connections = calloc((size_t)total, sizeof *connections);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || poller < 0) die("cannot start: %s", strerror(errno));
    prepare_message();
    if (opt.mode == IDLE) run_idle();
    else if (opt.mode == CONNECT) run_opening();
    else {
        open_all();
        poll_for(opt.settle);
        if (opt.mode == ECHO) run_echo();
        else run_fanout();
    }
    return 0;
}
