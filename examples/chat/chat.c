// Answers a question with a language model, token by token: the client reads while the model writes.
//
// The question is the request's body. A `?n=` in the address says how many tokens the answer may have.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_nn.h"

enum { PROMPT = 8192, PIECE = 1024 };

static const char MODEL[] = "assistant";

static char prompt[PROMPT + 1];
static char piece[PIECE];

static void refuse(const char *status, const char *why) {
    printf("Status: %s\nContent-Type: text/plain\n\n%s\n", status, why);
    exit(0);
}

static void check(nn_errno error) {
    if (error == NN_PROMPT_TOO_LONG) refuse("413 Content Too Large", "The question is too long for the model.");
    if (error == NN_BUSY) refuse("503 Service Unavailable", "Too many questions at once: try again.");
    if (error) refuse("500 Internal Server Error", nn_error_text(error));
}

static void set_bytes(nn_context context, uint32_t index, const char *bytes, size_t length) {
    const uint32_t dims[] = {(uint32_t)length};
    const nn_tensor tensor = {dims, 1, NN_U8, bytes, (uint32_t)length};
    check(nn_set_input(context, index, &tensor));
}

static void set_options(nn_context context) {
    char options[160];
    const char *query = getenv("QUERY_STRING");
    const int tokens = query && strncmp(query, "n=", 2) == 0 ? atoi(query + 2) : 0;
    const int length = snprintf(
        options, sizeof options,
        "{\"chat\":true,\"system\":\"Answer in one or two sentences.\",\"temp\":0,\"n-predict\":%d}",
        tokens > 0 ? tokens : 128);
    set_bytes(context, 1, options, (size_t)length);
}

int main(void) {
    nn_graph graph;
    nn_context context;
    uint32_t length;
    const size_t size = fread(prompt, 1, sizeof prompt, stdin);
    if (!size) refuse("400 Bad Request", "Ask something in the body of the request.");
    if (size > PROMPT) refuse("413 Content Too Large", "Ask with 8192 bytes at most.");
    check(nn_load_by_name(MODEL, strlen(MODEL), &graph));
    check(nn_init_execution_context(graph, &context));
    set_bytes(context, 0, prompt, size);
    set_options(context);

    nn_errno error = nn_compute_single(context);  // reads the prompt; what is wrong with it shows here
    if (error != NN_END_OF_SEQUENCE) check(error);
    printf("Content-Type: text/plain; charset=utf-8\nCache-Control: no-store\n\n");
    for (; !error; error = nn_compute_single(context)) {
        if (nn_get_output_single(context, 0, piece, sizeof piece, &length)) break;
        fwrite(piece, 1, length, stdout);
        fflush(stdout);
    }
    printf(error == NN_END_OF_SEQUENCE ? "\n" : "\n[The answer broke off: %s.]\n", nn_error_text(error));
    return 0;
}
