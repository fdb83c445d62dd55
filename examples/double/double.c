// y = 2x + 1, computed by a named model: reads x from the request's body, answers y.
#include <stdio.h>

#include "wasi_nn.h"

static nn_errno infer(const float *x, float *y) {
    nn_graph graph;
    nn_context context;
    uint32_t dims[] = {1, 1}, written;
    nn_tensor input = {dims, 2, NN_F32, x, sizeof *x};
    nn_errno error = nn_load_by_name("linear", 6, &graph);
    if (!error) error = nn_init_execution_context(graph, &context);
    if (!error) error = nn_set_input(context, 0, &input);
    if (!error) error = nn_compute(context);
    if (!error) error = nn_get_output(context, 0, y, sizeof *y, &written);
    return error;
}

int main(void) {
    float x = 0, y = 0;
    scanf("%f", &x);
    nn_errno error = infer(&x, &y);
    puts("Content-Type: text/plain\n");
    if (error) puts(nn_error_text(error));
    else printf("%g\n", y);
}
