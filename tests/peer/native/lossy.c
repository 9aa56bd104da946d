/*
 * A bad network around one program, by LD_PRELOAD: RTP and RTCP that it sends and receives is lost, delayed, repeated.
 * What is not RTP by its first octet (SIP, STUN) is left alone; DTLS of RTP, but not of RTCP, can be lost whole, and a
 * handshake can be slow to be sent again. This kernel has no netem.
 *
 * LOSSY_CONTROL names a file with a struct control, which may be changed at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LARGEST 8192
#define MAGIC "\0lossy\0"

enum way { OUT, IN, WAYS };

/* Gilbert's model: `to_bad` and `to_good` are chances for each packet; all is lost while it is bad. */
struct control {
    struct {
        double to_bad, to_good;
        double delay_ms, jitter_ms; /* each packet takes between the one and the sum of both; none overtakes another */
        double repeat;              /* chance of each packet to come twice */
        uint64_t seed;
        uint64_t outage; /* all is lost while not 0 */
        uint64_t passed, lost;
        uint64_t mute; /* DTLS that comes in for RTP (even ports, RFC 3550 section 11) is lost while not 0 */
        /* A DTLS server's flight takes so long to be sent for the second time, and of what its client answers, one
         * packet alone comes in: the first that does so after that has begun. */
        uint64_t stall_ms;
    } ways[WAYS];
};

struct packet {
    struct packet *next;
    uint64_t due_us;
    int fd;
    size_t size;
    struct sockaddr_storage address;
    socklen_t address_size;
    uint8_t data[];
};

/* The first message of a packet of DTLS (RFC 6347 section 4.2.2). */
enum { SERVER_HELLO = 2, CERTIFICATE = 11 };

/* In front of what was received and comes once more after its delay, from ourselves. */
struct again {
    char magic[8];
    struct sockaddr_storage from;
};

static struct control *control;
static struct {
    uint64_t state, seed;
    int bad;
} chance[WAYS];
static struct {
    struct packet *first, *last;
} queues[WAYS];
static struct {
    int sent, answered;
} handshakes[1024]; /* of the socket with that number */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static ssize_t (*real_recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);

static uint64_t now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int is_rtp(const void *data, size_t size, const struct sockaddr *address) {
    return control && size >= 8 && address && (*(const uint8_t *)data & 0xC0) == 0x80 &&
           (address->sa_family == AF_INET || address->sa_family == AF_INET6);
}

static int is_muted(int fd, const uint8_t *data) {
    struct sockaddr_in own = {0};
    socklen_t own_size = sizeof(own);

    return control->ways[IN].mute && data[0] >= 20 && data[0] <= 63 &&
           getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 && ntohs(own.sin_port) % 2 == 0;
}

static int begins_with(int message, int fd, const uint8_t *data, size_t size) {
    enum { HANDSHAKE = 22, RECORD_HEADER = 13 };

    return control && control->ways[IN].stall_ms && size > RECORD_HEADER && data[0] == HANDSHAKE &&
           data[RECORD_HEADER] == message && fd < (int)(sizeof(handshakes) / sizeof(handshakes[0]));
}

static void stall(int fd, const uint8_t *data, size_t size) {
    if (begins_with(SERVER_HELLO, fd, data, size) && ++handshakes[fd].sent == 2)
        usleep((useconds_t)control->ways[IN].stall_ms * 1000);
}

static int is_lost_answer(int fd, const uint8_t *data, size_t size) {
    return begins_with(CERTIFICATE, fd, data, size) && (handshakes[fd].sent < 2 || handshakes[fd].answered++);
}

/* Between 0 and 1; xorshift. */
static double draw(enum way way) {
    uint64_t x = chance[way].state;

    if (chance[way].seed != control->ways[way].seed || !x)
        x = (chance[way].seed = control->ways[way].seed) * 0x9E3779B97F4A7C15u + 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    chance[way].state = x;
    return (double)(x >> 11) / (double)(1ull << 53);
}

static int is_lost(enum way way) {
    double number = draw(way);

    chance[way].bad = chance[way].bad ? number >= control->ways[way].to_good : number < control->ways[way].to_bad;
    if (chance[way].bad || control->ways[way].outage) {
        ++control->ways[way].lost;
        return 1;
    }
    ++control->ways[way].passed;
    return 0;
}

/* As many draws as ever for what gets lost, when nothing is to come twice. */
static int is_repeated(enum way way) { return control->ways[way].repeat > 0 && draw(way) < control->ways[way].repeat; }

static int is_slow(enum way way) { return control->ways[way].delay_ms + control->ways[way].jitter_ms > 0; }

static void deliver(const struct packet *packet, enum way way) {
    uint8_t buffer[sizeof(struct again) + LARGEST];
    struct again *head = (struct again *)buffer;
    struct sockaddr_storage own;
    socklen_t own_size = sizeof(own);

    if (way == OUT) {
        real_sendto(packet->fd, packet->data, packet->size, 0, (const struct sockaddr *)&packet->address,
                    packet->address_size);
        return;
    }
    memcpy(head->magic, MAGIC, sizeof(head->magic));
    head->from = packet->address;
    memcpy(buffer + sizeof(*head), packet->data, packet->size);
    if (getsockname(packet->fd, (struct sockaddr *)&own, &own_size) == 0)
        real_sendto(packet->fd, buffer, sizeof(*head) + packet->size, 0, (struct sockaddr *)&own, own_size);
}

static void *work(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        uint64_t due = UINT64_MAX, now = now_us();
        enum way way;

        for (way = OUT; way < WAYS; ++way) {
            struct packet *packet = queues[way].first;

            if (packet && packet->due_us <= now) {
                queues[way].first = packet->next;
                deliver(packet, way);
                free(packet);
                packet = queues[way].first;
                now = 0; /* Look again for more before sleeping. */
            }
            if (packet && packet->due_us < due)
                due = packet->due_us;
        }
        if (now == 0)
            continue;
        if (due == UINT64_MAX) {
            pthread_cond_wait(&wake, &lock);
        } else {
            struct timespec until = {.tv_sec = (time_t)(due / 1000000), .tv_nsec = (long)(due % 1000000) * 1000};

            pthread_cond_timedwait(&wake, &lock, &until);
        }
    }
    return NULL;
}

static void delay(enum way way, int fd, const void *data, size_t size, const struct sockaddr *address,
                  socklen_t address_size) {
    struct packet *packet = calloc(1, sizeof(*packet) + size);

    if (!packet)
        return;
    packet->fd = fd;
    packet->size = size;
    packet->due_us =
        now_us() + (uint64_t)((control->ways[way].delay_ms + draw(way) * control->ways[way].jitter_ms) * 1000);
    packet->address_size = address_size;
    memcpy(&packet->address, address, address_size);
    memcpy(packet->data, data, size);
    if (queues[way].first)
        queues[way].last->next = packet;
    else
        queues[way].first = packet;
    queues[way].last = packet;
    pthread_cond_signal(&wake);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
               socklen_t address_size) {
    int kept = 0;

    stall(fd, data, size);
    if (is_rtp(data, size, address)) {
        pthread_mutex_lock(&lock);
        kept = is_lost(OUT);
        if (!kept && is_repeated(OUT))
            delay(OUT, fd, data, size, address, address_size);
        if (!kept && is_slow(OUT)) {
            delay(OUT, fd, data, size, address, address_size);
            kept = 1;
        }
        pthread_mutex_unlock(&lock);
    }
    return kept ? (ssize_t)size : real_sendto(fd, data, size, flags, address, address_size);
}

ssize_t recvfrom(int fd, void *data, size_t room, int flags, struct sockaddr *address, socklen_t *address_size) {
    uint8_t buffer[sizeof(struct again) + LARGEST];

    for (;;) {
        struct again *head = (struct again *)buffer;
        struct sockaddr_storage from;
        socklen_t from_size = sizeof(from);
        ssize_t size;
        int kept;

        if (!control || room > LARGEST)
            return real_recvfrom(fd, data, room, flags, address, address_size);
        size = real_recvfrom(fd, buffer, sizeof(buffer), flags, (struct sockaddr *)&from, &from_size);
        if (size < 0)
            return size;
        if (size > 0 && (is_muted(fd, buffer) || is_lost_answer(fd, buffer, (size_t)size)))
            continue;
        if ((size_t)size > sizeof(*head) && memcmp(head->magic, MAGIC, sizeof(head->magic)) == 0) {
            from = head->from;
            size -= (ssize_t)sizeof(*head);
            memmove(buffer, buffer + sizeof(*head), (size_t)size);
            kept = 0;
        } else {
            pthread_mutex_lock(&lock);
            kept = 0;
            if (is_rtp(buffer, (size_t)size, (struct sockaddr *)&from)) {
                kept = is_lost(IN);
                if (!kept && is_repeated(IN))
                    delay(IN, fd, buffer, (size_t)size, (struct sockaddr *)&from, from_size);
                if (!kept && is_slow(IN)) {
                    delay(IN, fd, buffer, (size_t)size, (struct sockaddr *)&from, from_size);
                    kept = 1;
                }
            }
            pthread_mutex_unlock(&lock);
        }
        if (kept)
            continue;
        if ((size_t)size > room)
            size = (ssize_t)room;
        memcpy(data, buffer, (size_t)size);
        if (address && address_size) {
            memcpy(address, &from, from_size < *address_size ? from_size : *address_size);
            *address_size = from_size;
        }
        return size;
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("LOSSY_CONTROL");
    pthread_condattr_t steady;
    pthread_t thread;
    void *mapped;
    int fd;

    real_sendto = dlsym(RTLD_NEXT, "sendto");
    real_recvfrom = dlsym(RTLD_NEXT, "recvfrom");
    fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0)
        return;
    mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        return;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &steady);
    pthread_create(&thread, NULL, work, NULL);
    control = mapped;
}
