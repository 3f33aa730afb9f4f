/* Shows a program another time of day: CLOCK_OFFSET_SECONDS later or earlier. Preloaded into one node by `cargo xtask net`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int (*original)(clockid_t, struct timespec *);
static long offset;

/* Before the program has threads. */
__attribute__((constructor)) static void load(void) {
    const char *words = getenv("CLOCK_OFFSET_SECONDS");
    offset = words ? atol(words) : 0;
    original = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!original) load();
    int failed = original(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset;
    return failed;
}
