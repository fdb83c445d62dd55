// The least of wasi:http a function needs to answer with bytes, by the canonical ABI, without a bindings generator.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define TYPES "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"

IMPORT(TYPES, "[constructor]fields") int32_t fields_new(void);
IMPORT(TYPES, "[constructor]outgoing-response") int32_t response_new(int32_t headers);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(int32_t self, int32_t *result);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(int32_t self, int32_t *result);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(int32_t self, int32_t has_trailers, int32_t trailers, int64_t *result);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(int32_t self, int32_t is_err, int32_t response, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(TYPES, "[resource-drop]incoming-request") void request_drop(int32_t self);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(int32_t self);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(int32_t self, const void *data, uint32_t length, int32_t *result);

static uint8_t heap[1 << 20] __attribute__((aligned(16)));
static uint32_t used;

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
    used = (used + align - 1) & -align;
    void *at = heap + used;
    used += size;
    if (used > sizeof heap) __builtin_trap();
    if (old) __builtin_memcpy(at, old, old_size);
    return at;
}

static void answer(int32_t request, int32_t out, const void *data, uint32_t length) {
    int32_t result[8];
    int64_t finished[8];
    int32_t response = response_new(fields_new());
    response_body(response, result);
    int32_t body = result[1];
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(body, result);
    int32_t stream = result[1];
    stream_write(stream, data, length, result);
    stream_drop(stream);
    body_finish(body, 0, 0, finished);
    request_drop(request);
}
