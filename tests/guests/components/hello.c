// A component that serves HTTP with hand-lowered calls: nothing but what the canonical ABI asks for.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"

IMPORT(HTTP, "[constructor]fields") int32_t fields_new(void);
IMPORT(HTTP, "[method]fields.append")
void fields_append(int32_t self, const char *name, int32_t name_size, const char *value, int32_t value_size, void *out);
IMPORT(HTTP, "[constructor]outgoing-response") int32_t response_new(int32_t headers);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(int32_t self, void *out);
IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(int32_t param, int32_t tag, int32_t response, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(int32_t self, void *out);
IMPORT(HTTP, "[static]outgoing-body.finish") void body_finish(int32_t self, int32_t some, int32_t trailers, void *out);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(int32_t self, const char *data, int32_t size, void *out);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(int32_t self);
IMPORT(HTTP, "[resource-drop]incoming-request") void request_drop(int32_t self);

static char heap[4096];
static uint32_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  used = (used + align - 1) & -align;
  void *found = heap + used;
  used += size;
  if (used > sizeof heap) __builtin_trap();
  return found;
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(int32_t request, int32_t outparam) {
  static const char text[] = "hello from a component\n";
  union { uint64_t align; uint8_t bytes[64]; int32_t words[16]; } out;
  int32_t headers = fields_new();
  fields_append(headers, "content-type", 12, "text/plain", 10, &out);
  int32_t response = response_new(headers);
  response_body(response, &out);
  int32_t body = out.words[1];
  outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  body_write(body, &out);
  int32_t stream = out.words[1];
  stream_write(stream, text, sizeof text - 1, &out);
  stream_drop(stream);
  body_finish(body, 0, 0, &out);
  request_drop(request);
}
