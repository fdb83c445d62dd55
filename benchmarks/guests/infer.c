// A CGI function that runs the named model "linear" (y = 2x + 1) for one f32 and answers y's four bytes.
#include <stdio.h>
#include <stdlib.h>

#include "wasi_nn.h"

int main(void) {
    static const uint32_t dims[2] = {1, 1};
    static const float x = 3;
    nn_graph graph;
    nn_context context;
    nn_tensor input = {dims, 2, NN_F32, &x, sizeof x};
    char y[4];
    uint32_t written;
    if (nn_load_by_name("linear", 6, &graph) || nn_init_execution_context(graph, &context)) abort();
    if (nn_set_input(context, 0, &input) || nn_compute(context)) abort();
    if (nn_get_output(context, 0, y, sizeof y, &written)) abort();
    fputs("Content-Type: application/octet-stream\n\n", stdout);
    fwrite(y, 1, 4, stdout);
}
