// A component that calls a model with hand-lowered calls. The path names the model, and after "?" its input;
// the body is the input tensor's data, little-endian f32 in one dimension. It answers the first output's name,
// a space, and its data; or status 500, the error's code, a space and its words.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"
#define NN(interface) "wasi:nn/" interface "@0.2.0-rc-2024-10-28"

typedef int32_t i32;
typedef int64_t i64;

IMPORT(HTTP, "[constructor]fields") i32 fields_new(void);
IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(i32, void *);
IMPORT(HTTP, "[method]incoming-request.consume") void request_consume(i32, void *);
IMPORT(HTTP, "[method]incoming-body.stream") void body_stream(i32, void *);
IMPORT(HTTP, "[constructor]outgoing-response") i32 response_new(i32);
IMPORT(HTTP, "[method]outgoing-response.set-status-code") i32 response_status(i32, i32);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(i32, void *);
IMPORT(HTTP, "[static]response-outparam.set") void outparam_set(i32, i32, i32, i32, i64, i32, i32, i32, i32);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(i32, void *);
IMPORT(HTTP, "[static]outgoing-body.finish") void body_finish(i32, i32, i32, void *);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(i32, i64, void *);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush") void stream_write(i32, const void *, i32, void *);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(i32);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(i32);
IMPORT(NN("graph"), "load-by-name") void load_by_name(const char *, i32, void *);
IMPORT(NN("graph"), "load") void load(const void *, i32, i32, i32, void *);
IMPORT(NN("graph"), "[method]graph.init-execution-context") void init_context(i32, void *);
IMPORT(NN("graph"), "[resource-drop]graph") void graph_drop(i32);
IMPORT(NN("tensor"), "[constructor]tensor") i32 tensor_new(const uint32_t *, i32, i32, const void *, i32);
IMPORT(NN("tensor"), "[method]tensor.dimensions") void tensor_dimensions(i32, void *);
IMPORT(NN("tensor"), "[method]tensor.ty") i32 tensor_type(i32);
IMPORT(NN("tensor"), "[method]tensor.data") void tensor_data(i32, void *);
IMPORT(NN("tensor"), "[resource-drop]tensor") void tensor_drop(i32);
IMPORT(NN("inference"), "[method]graph-execution-context.compute") void compute(i32, const void *, i32, void *);
IMPORT(NN("errors"), "[method]error.code") i32 error_code(i32);
IMPORT(NN("errors"), "[method]error.data") void error_data(i32, void *);

static char heap[4 << 20];
static uint32_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  used = (used + align - 1) & -align;
  void *found = heap + used;
  used += size;
  if (used > sizeof heap) __builtin_trap();
  return found;
}

typedef union { uint64_t align; uint8_t bytes[64]; i32 words[16]; } Out;

static char input[1 << 20];

static i32 read_all(i32 request) {
  Out out;
  i32 size = 0;
  request_consume(request, &out);
  body_stream(out.words[1], &out);
  i32 stream = out.words[1];
  for (;;) {
    stream_read(stream, 65536, &out);
    if (out.bytes[0]) break;
    if (size + out.words[2] > (i32)sizeof input) __builtin_trap();
    __builtin_memcpy(input + size, (void *)(intptr_t)out.words[1], out.words[2]);
    size += out.words[2];
  }
  input_drop(stream);
  return size;
}

void *memcpy(void *to, const void *from, unsigned long size) {
  for (unsigned long at = 0; at < size; at++) ((volatile char *)to)[at] = ((const char *)from)[at];
  return to;
}

static void answer(i32 outparam, i32 status, const char *first, i32 first_size, const void *rest, i32 rest_size) {
  Out out;
  i32 response = response_new(fields_new());
  response_status(response, status);
  response_body(response, &out);
  i32 body = out.words[1];
  outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  body_write(body, &out);
  i32 stream = out.words[1];
  stream_write(stream, first, first_size, &out);
  stream_write(stream, " ", 1, &out);
  for (i32 at = 0; at < rest_size; at += 4096)
    stream_write(stream, (char *)rest + at, rest_size - at < 4096 ? rest_size - at : 4096, &out);
  output_drop(stream);
  body_finish(body, 0, 0, &out);
}

static void fail(i32 outparam, i32 error) {
  static const char digits[] = "0123456789";
  Out out;
  error_data(error, &out);
  answer(outparam, 500, &digits[error_code(error)], 1, (void *)(intptr_t)out.words[0], out.words[1]);
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(i32 request, i32 outparam) {
  Out out;
  request_path(request, &out);
  const char *name = (char *)(intptr_t)out.words[1] + 1;
  i32 size = out.words[2] - 1, end = 0;
  while (end < size && name[end] != '?') end++;
  i32 given = read_all(request);
  if (end && name[0] == '!') {  // load what the body brings
    struct { const void *data; i32 size; } builder = {input, given};
    load(&builder, 1, name[1] - '0', 0, &out);
  } else {
    load_by_name(name, end, &out);
  }
  if (out.bytes[0]) return fail(outparam, out.words[1]);
  i32 graph = out.words[1];
  init_context(graph, &out);
  if (out.bytes[0]) return fail(outparam, out.words[1]);
  i32 context = out.words[1];
  graph_drop(graph);
  uint32_t dimension = given / 4;
  struct { const char *name; i32 size; i32 tensor; } named = {
      name + end + 1, end < size ? size - end - 1 : 0, tensor_new(&dimension, 1, 1, input, given)};
  compute(context, &named, 1, &out);
  if (out.bytes[0]) return fail(outparam, out.words[1]);
  struct { const char *name; i32 size; i32 tensor; } *outputs = (void *)(intptr_t)out.words[1];
  tensor_dimensions(outputs[0].tensor, &out);
  if (tensor_type(outputs[0].tensor) != 1 || out.words[1] < 1) __builtin_trap();
  tensor_data(outputs[0].tensor, &out);
  answer(outparam, 200, outputs[0].name, outputs[0].size, (void *)(intptr_t)out.words[0], out.words[1]);
  tensor_drop(outputs[0].tensor);
}
