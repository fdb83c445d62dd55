// Runs one inference whose tensors come on stdin and go to stdout, by the core ABI of wasi-nn.
//
//   runner MODEL OUTPUTS      the named model, and how many outputs it has
//
// stdin:  u32 count, then per input: u32 type, u32 rank, u32 dims[rank], u32 length, the bytes
// stdout: per output: u32 length, the bytes
// An error ends it with status 10 + errno. Integers are little-endian.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NN(name) __attribute__((import_module("wasi_ephemeral_nn"), import_name(name)))

struct tensor { const uint32_t *dims; uint32_t rank; uint8_t type; const uint8_t *data; uint32_t length; };

NN("load_by_name") uint32_t load_by_name(const char *name, uint32_t length, uint32_t *graph);
NN("init_execution_context") uint32_t init_execution_context(uint32_t graph, uint32_t *context);
NN("set_input") uint32_t set_input(uint32_t context, uint32_t index, const struct tensor *tensor);
NN("compute") uint32_t compute(uint32_t context);
NN("get_output")
uint32_t get_output(uint32_t context, uint32_t index, uint8_t *buffer, uint32_t size, uint32_t *written);

enum { TOO_LARGE = 7 };

static void must(uint32_t error) { if (error) exit(10 + error); }

static void take(void *into, size_t length) {
    if (length && fread(into, 1, length, stdin) != length) exit(2);
}

static uint32_t take_u32(void) { uint32_t value; take(&value, 4); return value; }

static void input(uint32_t context, uint32_t index) {
    struct tensor tensor;
    tensor.type = take_u32();
    tensor.rank = take_u32();
    uint32_t *dims = malloc(4 * tensor.rank + 4);
    take(dims, 4 * tensor.rank);
    tensor.length = take_u32();
    uint8_t *data = malloc(tensor.length + 1);
    take(data, tensor.length);
    tensor.dims = dims;
    tensor.data = data;
    must(set_input(context, index, &tensor));
    free(dims);
    memset(data, 0xA5, tensor.length);  // set_input took a copy: what the guest does next must not matter
    free(data);
}

static void output(uint32_t context, uint32_t index) {
    uint32_t written = 0, size = 64;
    uint8_t *buffer = malloc(size);
    uint32_t error = get_output(context, index, buffer, size, &written);
    if (error == TOO_LARGE) {
        buffer = realloc(buffer, size = written);
        error = get_output(context, index, buffer, size, &written);
    }
    must(error);
    fwrite(&written, 4, 1, stdout);
    fwrite(buffer, 1, written, stdout);
    free(buffer);
}

int main(int argc, char **argv) {
    uint32_t graph, context;
    if (argc != 3) return 2;
    must(load_by_name(argv[1], strlen(argv[1]), &graph));
    must(init_execution_context(graph, &context));
    uint32_t count = take_u32();
    for (uint32_t index = 0; index < count; index++) input(context, index);
    must(compute(context));
    for (int index = 0; index < atoi(argv[2]); index++) output(context, index);
    return 0;
}
