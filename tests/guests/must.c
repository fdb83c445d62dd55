// A CGI program that cannot do without the model that the last segment of its path names: it aborts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_nn.h"

int main(void) {
    static const uint32_t dims[] = {1, 4};
    static const float x[] = {1, 2, 3, 4};
    const nn_tensor input = {dims, 2, NN_F32, x, sizeof x};
    const char *path = getenv("PATH_INFO");
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : "";
    nn_graph graph;
    nn_context context;
    if (nn_load_by_name(name, strlen(name), &graph) || nn_init_execution_context(graph, &context)) abort();
    if (nn_set_input(context, 0, &input) || nn_compute(context)) abort();
    printf("Content-Type: text/plain\r\n\r\ndone\n");
    return 0;
}
