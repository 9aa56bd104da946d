/*
 * Hours of PJMEDIA's picture clock in no time, for one program, by LD_PRELOAD.
 *
 * HOURS_CONTROL names a file with a uint64_t, in native byte order: by so much more, in units of 90 kHz, than has
 * passed is the clock of the video bridge ahead. It may be changed at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pjmedia/clock.h>

struct told {
    pjmedia_clock_callback *callback;
    void *user_data;
};

typedef pj_status_t create(pj_pool_t *, const pjmedia_clock_param *, unsigned, pjmedia_clock_callback *, void *,
                           pjmedia_clock **);

static const volatile uint64_t *ahead(void) {
    static const uint64_t *memory;
    const char *path = getenv("HOURS_CONTROL");

    if (!memory) {
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

        memory = mmap(NULL, sizeof(*memory), PROT_READ, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
            abort();
        close(fd);
    }
    return memory;
}

static void tick(const pj_timestamp *now, void *user_data) {
    const struct told *told = user_data;
    pj_timestamp later = *now;

    later.u64 += *ahead();
    told->callback(&later, told->user_data);
}

/* In the place of PJMEDIA's own, whose video bridge calls it. */
pj_status_t pjmedia_clock_create2(pj_pool_t *pool, const pjmedia_clock_param *param, unsigned options,
                                  pjmedia_clock_callback *callback, void *user_data, pjmedia_clock **clock) {
    void *library = dlopen("libpjmedia.so.2", RTLD_LAZY | RTLD_NOLOAD);
    create *original = library ? (create *)(uintptr_t)dlsym(library, "pjmedia_clock_create2") : NULL;
    struct told *told = malloc(sizeof(*told)); /* for as long as the program runs */

    if (!original || original == pjmedia_clock_create2 || !told)
        abort();
    told->callback = callback;
    told->user_data = user_data;
    return original(pool, param, options, tick, told, clock);
}
