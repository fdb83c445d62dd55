// Classifies a photo: raw RGB in the request's body, the five likeliest classes as JSON in the answer.
//
// The model is one that the node loaded before this request came: the function asks for it by name, and knows
// neither its framework nor its weights.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wasi_nn.h"

enum { SIDE = 224, PIXELS = SIDE * SIDE * 3, CLASSES = 1000, TOP = 5 };

static const char MODEL[] = "classifier";
static const char LABELS[] = {
#embed "labels.txt"
    , 0};

static uint8_t image[PIXELS + 1];
static float probabilities[CLASSES];

static void refuse(size_t length) {
    printf("Status: 400 Bad Request\nContent-Type: text/plain\n\n"
           "Send the %d bytes of a %dx%d RGB image: rows from the top, three bytes per pixel. ",
           PIXELS, SIDE, SIDE);
    if (length > PIXELS) printf("These were more.\n");
    else printf("These were %zu.\n", length);
    puts("To convert a photo: python -m wasmind.demo.photo PHOTO > photo.rgb");
    exit(0);
}

static void check(const char *step, nn_errno error) {
    if (!error) return;
    printf("Status: %s\nContent-Type: text/plain\n\n%s: %s\n",
           error == NN_BUSY ? "503 Service Unavailable" : "500 Internal Server Error", step, nn_error_text(error));
    exit(0);
}

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double classify(void) {
    static const uint32_t dims[] = {1, SIDE, SIDE, 3};
    const nn_tensor input = {dims, 4, NN_U8, image, PIXELS};
    nn_graph graph;
    nn_context context;
    uint32_t written;
    check("load_by_name", nn_load_by_name(MODEL, strlen(MODEL), &graph));
    check("init_execution_context", nn_init_execution_context(graph, &context));
    check("set_input", nn_set_input(context, 0, &input));
    const double start = now_ms();
    check("compute", nn_compute(context));
    const double took = now_ms() - start;
    check("get_output", nn_get_output(context, 0, probabilities, sizeof probabilities, &written));
    return took;
}

static void print_label(int class) {
    const char *label = LABELS;
    while (class) class -= *label++ == '\n';
    const char *end = label;
    while (*end != '\n') end++;
    printf("%.*s", (int)(end - label), label);
}

static void print_likeliest(void) {
    const char *separator = "";
    for (int place = 0; place < TOP; place++) {
        int best = 0;
        for (int class = 1; class < CLASSES; class++)
            if (probabilities[class] > probabilities[best]) best = class;
        printf("%s{\"label\":\"", separator);
        print_label(best);
        printf("\",\"probability\":%.4f}", probabilities[best]);
        probabilities[best] = -1;
        separator = ",";
    }
}

int main(void) {
    const char *announced = getenv("CONTENT_LENGTH");
    if (announced && strtoul(announced, NULL, 10) != PIXELS) refuse(strtoul(announced, NULL, 10));
    const size_t length = fread(image, 1, sizeof image, stdin);
    if (length != PIXELS) refuse(length);

    const double took = classify();
    printf("Content-Type: application/json\n\n{\"classes\":[");
    print_likeliest();
    printf("],\"inference_ms\":%.2f}\n", took);
    return 0;
}
