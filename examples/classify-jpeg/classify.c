// Classifies a photo as it comes: the request's body goes to the model, the model's JSON is the answer.
//
// Decoding, resizing and labels are declared with the model, in wasmind.toml, and done by the node.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_nn.h"

enum { LARGEST = 8 << 20, ANSWER = 16 << 10 };

static const char MODEL[] = "classifier";
static uint8_t photo[LARGEST];
static char answer[ANSWER];

static void check(const char *step, nn_errno error) {
    if (!error) return;
    const char *status = error == NN_INVALID_ARGUMENT ? "400 Bad Request"
                         : error == NN_BUSY           ? "503 Service Unavailable"
                                                      : "500 Internal Server Error";
    printf("Status: %s\nContent-Type: text/plain\n\n%s: %s\n", status, step, nn_error_text(error));
    exit(0);
}

int main(void) {
    const uint32_t length = fread(photo, 1, sizeof photo, stdin);
    const nn_tensor input = {&length, 1, NN_U8, photo, length};
    nn_graph graph;
    nn_context context;
    uint32_t written;
    check("load_by_name", nn_load_by_name(MODEL, strlen(MODEL), &graph));
    check("init_execution_context", nn_init_execution_context(graph, &context));
    check("set_input", nn_set_input(context, 0, &input));
    check("compute", nn_compute(context));
    check("get_output", nn_get_output(context, 0, answer, sizeof answer, &written));
    printf("Content-Type: application/json\n\n%.*s\n", (int)written, answer);
    return 0;
}
