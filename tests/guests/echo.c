// A CGI program that does what its path says, for tests of the path between a request and a guest.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wasi_nn.h"

extern char **environ;

static char buffer[65536];

static void head(const char *type) { printf("Content-Type: %s\n\n", type); }

static int env(void) {
    head("text/plain");
    for (char **each = environ; *each; each++) puts(*each);
    return 0;
}

static int body(void) {
    head("application/octet-stream");
    fflush(stdout);
    ssize_t got;
    while ((got = read(0, buffer, sizeof buffer)) > 0)
        if (write(1, buffer, got) != got) return 3;
    return got < 0 ? 4 : 0;
}

static int count(void) {
    size_t total = 0, got;
    while ((got = fread(buffer, 1, sizeof buffer, stdin)) > 0) total += got;
    head("text/plain");
    printf("%zu", total);
    return 0;
}

static int large(long size) {
    head("application/octet-stream");
    memset(buffer, 'x', sizeof buffer);
    for (; size > 0; size -= sizeof buffer)
        fwrite(buffer, 1, size < (long)sizeof buffer ? size : sizeof buffer, stdout);
    return 0;
}

static int tokens(long count) {
    head("text/event-stream");
    for (long i = 0; i < count; i++) {
        printf("data: %ld\n\n", i);
        fflush(stdout);
        usleep(1000);
    }
    return 0;
}

static int infer(void) {
    float input[4] = {1, 2, 3, 4}, output[4];
    const uint32_t dims[] = {1, 4};
    const nn_tensor tensor = {dims, 2, NN_F32, input, sizeof input};
    nn_graph graph;
    nn_context context;
    uint32_t written;
    nn_errno error;
    head("text/plain");
    if ((error = nn_load_by_name("linear", 6, &graph)) || (error = nn_init_execution_context(graph, &context)) ||
        (error = nn_set_input(context, 0, &tensor)) || (error = nn_compute(context)) ||
        (error = nn_get_output(context, 0, output, sizeof output, &written))) {
        printf("failed: %s", nn_error_text(error));
        return 0;
    }
    printf("%g %g %g %g", output[0], output[1], output[2], output[3]);
    return 0;
}

int main(void) {
    const char *path = getenv("PATH_INFO"), *query = getenv("QUERY_STRING");
    const long number = query ? atol(query) : 0;
    if (!path || !*path || !strcmp(path, "/env")) return env();
    if (!strcmp(path, "/body")) return body();
    if (!strcmp(path, "/count")) return count();
    if (!strcmp(path, "/large")) return large(number);
    if (!strcmp(path, "/tokens")) return tokens(number);
    if (!strcmp(path, "/infer")) return infer();
    if (!strcmp(path, "/progress")) {
        head("text/plain");
        printf("thinking\n");
        fflush(stdout);
        if (number) return infer();
        const ssize_t got = read(0, buffer, sizeof buffer);
        printf("read %zd\n", got);
        return 0;
    }
    if (!strcmp(path, "/status")) {
        printf("Status: %ld\nContent-Type: text/plain\n\nstatus %ld", number, number);
        return 0;
    }
    if (!strcmp(path, "/stderr")) {
        fprintf(stderr, "one\ntwo");
        head("text/plain");
        return 0;
    }
    if (!strcmp(path, "/exit")) return number;
    if (!strcmp(path, "/exit-after")) {
        head("text/plain");
        printf("answered");
        fflush(stdout);
        return number;
    }
    if (!strcmp(path, "/trap-after")) {
        head("text/plain");
        large(number);
        fflush(stdout);
        __builtin_trap();
    }
    if (!strcmp(path, "/close")) {
        head("text/plain");
        printf("closed");
        fclose(stdout);
        usleep(20000);
        fprintf(stderr, "still running");
        return 0;
    }
    if (!strcmp(path, "/silent")) return 0;
    if (!strcmp(path, "/garbage")) {
        puts("Hello, world\n");
        return 0;
    }
    if (!strcmp(path, "/spin"))
        for (;;) (*(volatile int *)buffer)++;
    printf("Status: 404 Not Found\nContent-Type: text/plain\n\nno %s", path);
    return 0;
}
