// A CGI program that does what the last segment of its path says.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static void head(const char *more) {
    printf("Content-Type: text/plain\r\n%s\r\n", more);
}

static void write_all(const char *data, size_t size) {
    while (size) {
        ssize_t written = write(1, data, size);
        if (written < 0) exit(9);
        data += written;
        size -= (size_t)written;
    }
}

static void nap(long ms) {
    struct timespec time = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static char block[65536];

int main(void) {
    const char *path = env("PATH_INFO");
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : "";
    const char *query = env("QUERY_STRING");
    long number = atol(query);

    if (!strcmp(name, "hello")) {
        head("");
        printf("hello\n");
    } else if (!strcmp(name, "echo")) {
        head("");
        fflush(stdout);
        ssize_t got;
        while ((got = read(0, block, sizeof block)) > 0) write_all(block, (size_t)got);
    } else if (!strcmp(name, "count")) {
        unsigned long long total = 0, reads = 0;
        ssize_t got;
        while ((got = read(0, block, sizeof block)) > 0) total += (unsigned long long)got, reads++;
        head("");
        printf("%llu %llu\n", total, reads);
    } else if (!strcmp(name, "big")) {  // so many blocks of 64 KiB
        head("");
        fflush(stdout);
        memset(block, 'x', sizeof block);
        for (long i = 0; i < number; i++) write_all(block, sizeof block);
    } else if (!strcmp(name, "endless")) {
        head("");
        fflush(stdout);
        for (;;) write_all(block, sizeof block);
    } else if (!strcmp(name, "env")) {
        head("");
        for (char **each = environ; *each; each++) puts(*each);
    } else if (!strcmp(name, "status")) {
        printf("Status: %ld\r\nContent-Type: text/plain\r\nX-Own: yes\r\n\r\nstatus\n", number);
    } else if (!strcmp(name, "trap")) {
        __builtin_trap();
    } else if (!strcmp(name, "exit")) {
        exit((int)number);
    } else if (!strcmp(name, "late-trap")) {  // after a part of the answer has gone out
        head("");
        printf("begun\n");
        fflush(stdout);
        nap(50);
        __builtin_trap();
    } else if (!strcmp(name, "nonsense")) {
        printf("this is no head\n\nbody");
    } else if (!strcmp(name, "silent")) {
        return 0;
    } else if (!strcmp(name, "spin")) {
        for (volatile uint64_t i = 0;; i++) {
        }
    } else if (!strcmp(name, "sleep")) {  // so many milliseconds
        nap(number);
        head("");
        printf("slept\n");
    } else if (!strcmp(name, "drip")) {  // so many lines, one each 20 ms
        head("");
        fflush(stdout);
        for (long i = 0; i < number; i++) {
            printf("%ld\n", i);
            fflush(stdout);
            nap(20);
        }
    } else if (!strcmp(name, "stderr")) {
        fprintf(stderr, "plain\n\x1b[31mred\x1b[0m\rforged\n");
        for (long i = 0; i < number; i++) fputs("flood flood flood flood flood flood flood flood\n", stderr);
        head("");
        printf("logged\n");
    } else if (!strcmp(name, "grow")) {  // so many MiB
        for (long i = 0; i < number; i++) {
            char *volatile page = malloc(1 << 20);
            if (!page) {
                head("");
                printf("refused at %ld\n", i);
                return 0;
            }
            page[0] = page[(1 << 20) - 1] = 1;
        }
        head("");
        printf("grown\n");
    } else {
        printf("Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno such action\n");
    }
    return 0;
}
