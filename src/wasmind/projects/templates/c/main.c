// Answers what the model %%model%% makes of the numbers in a request's body, a JSON list.
#include <stdio.h>

#include "wasi_nn.h"

static %%input_c%% numbers[%%room_in%%];
static %%output_c%% answers[%%room_out%%];

int main(void) {
    uint32_t count = 0;
    double number;
    for (;; numbers[count++] = number) {
        scanf("%*[][, \t\r\n]");
        if (count == sizeof numbers / sizeof *numbers || scanf("%lf", &number) != 1) break;
    }

    const uint32_t dims[] = {%%dims%%};
    const nn_tensor input = {dims, sizeof dims / sizeof *dims, %%input_nn%%, numbers, count * sizeof *numbers};
    nn_buffer output = {answers, sizeof answers};
    nn_errno error = nn_infer("%%model%%", &input, 1, &output, 1);
    if (error) {
        printf("Status: 500\nContent-Type: text/plain\n\n%s\n", nn_error_text(error));
        return 0;
    }

    printf("Content-Type: application/json\n\n[");
    for (uint32_t at = 0; at < output.written / sizeof *answers; at++)
        printf("%s%.9g", at ? ", " : "", (double)answers[at]);
    printf("]\n");
    return 0;
}
