// A CGI function that runs the model named by the last segment of its path on 512 f32 and answers four bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_nn.h"

int main(void) {
    static const uint32_t dims[2] = {1, 512};
    static float x[512], y[512];
    const char *path = getenv("PATH_INFO");
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : "";
    nn_graph graph;
    nn_context context;
    nn_tensor input = {dims, 2, NN_F32, x, sizeof x};
    uint32_t written;
    for (int i = 0; i < 512; i++) x[i] = (float)i / 512;
    if (nn_load_by_name(name, strlen(name), &graph) || nn_init_execution_context(graph, &context)) abort();
    if (nn_set_input(context, 0, &input) || nn_compute(context)) abort();
    if (nn_get_output(context, 0, y, sizeof y, &written)) abort();
    fputs("Content-Type: application/octet-stream\n\n", stdout);
    fwrite(y, 1, 4, stdout);
}
