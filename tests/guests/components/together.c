// A component that starts two computations of the model "plus" (y = x + 1), for 1 and 2, waits for both with one
// poll after another, and answers how often it polled and the two results: "P" and eight bytes.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"
#define POLL "wasi:io/poll@0.2.12"
#define NN(interface) "wasi:nn/" interface "@0.2.0-rc-2024-10-28"
#define ASYNC "wasmind:nn/async@0.1.0"

typedef int32_t i32;
typedef int64_t i64;

IMPORT(HTTP, "[constructor]fields") i32 fields_new(void);
IMPORT(HTTP, "[constructor]outgoing-response") i32 response_new(i32);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(i32, void *);
IMPORT(HTTP, "[static]response-outparam.set") void outparam_set(i32, i32, i32, i32, i64, i32, i32, i32, i32);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(i32, void *);
IMPORT(HTTP, "[static]outgoing-body.finish") void body_finish(i32, i32, i32, void *);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush") void stream_write(i32, const void *, i32, void *);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(i32);
IMPORT(POLL, "poll") void poll(const i32 *, i32, void *);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(i32);
IMPORT(NN("graph"), "load-by-name") void load_by_name(const char *, i32, void *);
IMPORT(NN("graph"), "[method]graph.init-execution-context") void init_context(i32, void *);
IMPORT(NN("tensor"), "[constructor]tensor") i32 tensor_new(const uint32_t *, i32, i32, const void *, i32);
IMPORT(NN("tensor"), "[method]tensor.data") void tensor_data(i32, void *);
IMPORT(ASYNC, "compute") i32 start(i32, const void *, i32);
IMPORT(ASYNC, "[method]pending.subscribe") i32 subscribe(i32);
IMPORT(ASYNC, "[method]pending.get") void get(i32, void *);
IMPORT(ASYNC, "[resource-drop]pending") void pending_drop(i32);

static char heap[1 << 16];
static uint32_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  used = (used + align - 1) & -align;
  void *found = heap + used;
  used += size;
  if (used > sizeof heap) __builtin_trap();
  return found;
}

typedef union { uint64_t align; uint8_t bytes[64]; i32 words[16]; } Out;
typedef struct { const char *name; i32 size; i32 tensor; } Named;

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(i32 request, i32 outparam) {
  Out out;
  i32 pending[2], pollables[2];
  char answer[9] = "0";
  load_by_name("plus", 4, &out);
  if (out.bytes[0]) __builtin_trap();
  i32 graph = out.words[1];
  for (i32 at = 0; at < 2; at++) {
    static const uint32_t one = 1;
    static const float x[2] = {1, 2};
    init_context(graph, &out);
    if (out.bytes[0]) __builtin_trap();
    Named input = {"x", 1, tensor_new(&one, 1, 1, &x[at], 4)};
    pending[at] = start(out.words[1], &input, 1);
    pollables[at] = subscribe(pending[at]);
  }
  for (i32 left = 2; left;) {
    poll(pollables, 2, &out);
    answer[0]++;
    left = 2;
    for (i32 at = 0; at < 2; at++) {
      for (i32 ready = 0; ready < out.words[1]; ready++) left -= ((i32 *)(intptr_t)out.words[0])[ready] == at;
    }
  }
  for (i32 at = 0; at < 2; at++) {
    get(pending[at], &out);  // option<result<result<list<named-tensor>, error>>>
    if (out.bytes[0] != 1 || out.bytes[4] || out.bytes[8] || out.words[4] != 1) __builtin_trap();
    tensor_data(((Named *)(intptr_t)out.words[3])->tensor, &out);
    if (out.words[1] != 4) __builtin_trap();
    __builtin_memcpy_inline(&answer[1 + 4 * at], (void *)(intptr_t)out.words[0], 4);
    get(pending[at], &out);  // once
    if (out.bytes[0] != 1 || out.bytes[4] != 1) __builtin_trap();
    pollable_drop(pollables[at]);
    pending_drop(pending[at]);
  }
  i32 response = response_new(fields_new());
  response_body(response, &out);
  i32 body = out.words[1];
  outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  body_write(body, &out);
  i32 stream = out.words[1];
  stream_write(stream, answer, 9, &out);
  output_drop(stream);
  body_finish(body, 0, 0, &out);
}
