// Names a model, sends it floats read from stdin, and prints what it answers: `infer NAME`.
#include <stdio.h>
#include <string.h>

#include "wasi_nn.h"

enum { MOST = 64 };

static int failed(const char *step, nn_errno error) {
    printf("%s: %d %s\n", step, error, nn_error_text(error));
    return 1;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "linear";
    float input[MOST], output[MOST];
    uint32_t count = 0, written = 0;
    while (count < MOST && scanf("%f", &input[count]) == 1) count++;

    nn_graph graph;
    nn_context context;
    nn_errno error;
    const uint32_t dims[] = {1, count};
    const nn_tensor tensor = {dims, 2, NN_F32, input, count * sizeof(float)};
    if ((error = nn_load_by_name(name, strlen(name), &graph))) return failed("load_by_name", error);
    if ((error = nn_init_execution_context(graph, &context))) return failed("init_execution_context", error);
    if ((error = nn_set_input(context, 0, &tensor))) return failed("set_input", error);
    if ((error = nn_compute(context))) return failed("compute", error);
    if ((error = nn_get_output(context, 0, output, sizeof output, &written))) return failed("get_output", error);
    for (uint32_t i = 0; i < written / sizeof(float); i++) printf("%g ", output[i]);
    printf("\n");
    return 0;
}
