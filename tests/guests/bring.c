// A CGI program that loads the model in its request's body: `/ENCODING[/TARGET]` ends the path, in the numbers of
// the core ABI. The body begins with the length of the first builder (4 bytes, little-endian); what follows it is
// the second. The input is 1 2 3 4.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wasi_nn.h"

static unsigned char body[1 << 20];

static int failed(const char *step, nn_errno error) {
    printf("Status: 500\r\nContent-Type: text/plain\r\n\r\n%s: %d %s\n", step, error, nn_error_text(error));
    return 0;
}

int main(void) {
    const char *path = getenv("PATH_INFO");
    unsigned encoding = 0, target = 0;
    if (!path || sscanf(strncmp(path, "/bring/", 7) ? path : path + 6, "/%u/%u", &encoding, &target) < 1) return 1;
    const float input[] = {1, 2, 3, 4};
    const uint32_t dims[] = {1, 4};
    const nn_tensor tensor = {dims, 2, NN_F32, input, sizeof input};
    float output[64];
    uint32_t written = 0, first;
    size_t size = 0;
    ssize_t got;
    while (size < sizeof body && (got = read(0, body + size, sizeof body - size)) > 0) size += (size_t)got;
    memcpy(&first, body, 4);
    const nn_builder builders[] = {{body + 4, first}, {body + 4 + first, size - 4 - first}};

    nn_graph graph;
    nn_context context;
    nn_errno error;
    error = nn_load(builders, size > 4 + first ? 2 : 1, encoding, target, &graph);
    if (error) return failed("load", error);
    if ((error = nn_init_execution_context(graph, &context))) return failed("init_execution_context", error);
    if ((error = nn_set_input(context, 0, &tensor))) return failed("set_input", error);
    if ((error = nn_compute(context))) return failed("compute", error);
    if ((error = nn_get_output(context, 0, output, sizeof output, &written))) return failed("get_output", error);
    printf("Content-Type: text/plain\r\n\r\n");
    for (uint32_t i = 0; i < written / sizeof(float); i++) printf("%g ", output[i]);
    printf("\n");
    return 0;
}
