// A CGI program that asks a model: the last segment of its path is the model's name, the input is 1 2 3 4.
// With a request body, the model is the body's bytes instead.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wasi_nn.h"

static unsigned char body[1 << 20];

static int failed(const char *step, nn_errno error) {
    printf("Status: 500\r\nContent-Type: text/plain\r\n\r\n%s: %d\n", step, error);
    return 0;
}

int main(void) {
    const char *path = getenv("PATH_INFO");
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : "";
    const float input[] = {1, 2, 3, 4};
    const uint32_t dims[] = {1, 4};
    const nn_tensor tensor = {dims, 2, NN_F32, input, sizeof input};
    float output[64];
    uint32_t written = 0;
    size_t size = 0;
    ssize_t got;
    while (size < sizeof body && (got = read(0, body + size, sizeof body - size)) > 0) size += (size_t)got;

    nn_graph graph;
    nn_context context;
    nn_errno error;
    if (size) {
        const nn_builder builder = {body, size};
        error = nn_load(&builder, 1, NN_ONNX, NN_CPU, &graph);
    } else {
        error = nn_load_by_name(name, strlen(name), &graph);
    }
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
