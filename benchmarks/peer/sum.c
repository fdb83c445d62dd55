// A wasi:http function that gives the model "sum" 600 KB by wasi:nn and answers the four bytes of its output.
#include "http.h"

#define NN(interface) "wasi:nn/" interface "@0.2.0-rc-2024-10-28"

IMPORT(NN("graph"), "load-by-name") void load_by_name(const char *name, uint32_t length, int32_t *result);
IMPORT(NN("graph"), "[method]graph.init-execution-context") void init_context(int32_t self, int32_t *result);
IMPORT(NN("tensor"), "[constructor]tensor")
int32_t tensor_new(const uint32_t *dims, uint32_t rank, int32_t type, const void *data, uint32_t length);
IMPORT(NN("tensor"), "[method]tensor.data") void tensor_data(int32_t self, int32_t *result);
IMPORT(NN("inference"), "[method]graph-execution-context.compute")
void compute(int32_t self, const void *inputs, uint32_t count, int32_t *result);

struct named { const char *name; uint32_t length; int32_t tensor; };
static float x[3 * 224 * 224];

__attribute__((export_name("wasi:http/incoming-handler@0.2.12#handle")))
void handle(int32_t request, int32_t out) {
    int32_t result[4];
    static const uint32_t dims[4] = {1, 3, 224, 224};
    x[7] = 1;
    load_by_name("sum", 3, result);
    if (result[0]) __builtin_trap();
    init_context(result[1], result);
    if (result[0]) __builtin_trap();
    int32_t context = result[1];
    struct named input = {"x", 1, tensor_new(dims, 4, 1, x, sizeof x)};
    compute(context, &input, 1, result);
    if (result[0]) __builtin_trap();
    tensor_data(((struct named *)result[1])->tensor, result);
    answer(request, out, (void *)result[0], result[1]);
}
