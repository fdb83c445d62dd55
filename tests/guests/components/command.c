// A command with hand-lowered calls: writes its first argument and an environment variable, copies stdin to
// stdout, and ends as the argument says: "ok", "err", "exit", "trap".
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t i32;
typedef int64_t i64;

IMPORT("wasi:cli/environment@0.2.12", "get-arguments") void arguments(void *);
IMPORT("wasi:cli/environment@0.2.12", "get-environment") void environment(void *);
IMPORT("wasi:cli/exit@0.2.12", "exit-with-code") void exit_with(i32);
IMPORT("wasi:cli/stdin@0.2.12", "get-stdin") i32 get_stdin(void);
IMPORT("wasi:cli/stdout@0.2.12", "get-stdout") i32 get_stdout(void);
IMPORT("wasi:io/streams@0.2.12", "[method]input-stream.blocking-read") void stream_read(i32, i64, void *);
IMPORT("wasi:io/streams@0.2.12", "[method]output-stream.blocking-write-and-flush")
void stream_write(i32, const void *, i32, void *);

static char heap[1 << 20];
static uint32_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  used = (used + align - 1) & -align;
  void *found = heap + used;
  used += size;
  if (used > sizeof heap) __builtin_trap();
  return found;
}

typedef struct { const char *text; i32 size; } Text;
typedef union { uint64_t align; uint8_t bytes[16]; i32 words[4]; } Out;

static void say(const char *text, i32 size) {
  static i32 stream;
  Out out;
  if (!stream) stream = get_stdout();
  stream_write(stream, text, size, &out);
}

EXPORT("wasi:cli/run@0.2.12#run") i32 run(void) {
  Out out;
  arguments(&out);
  Text mode = ((Text *)(intptr_t)out.words[0])[1];
  say(mode.text, mode.size);
  environment(&out);
  for (i32 at = 0; at < out.words[1]; at++) {
    Text *pair = (Text *)(intptr_t)out.words[0] + 2 * at;
    say(" ", 1);
    say(pair[0].text, pair[0].size);
    say("=", 1);
    say(pair[1].text, pair[1].size);
  }
  say(": ", 2);
  for (i32 input = get_stdin();;) {
    stream_read(input, 4096, &out);
    if (out.bytes[0]) break;
    say((char *)(intptr_t)out.words[1], out.words[2]);
  }
  if (mode.text[0] == 't') __builtin_trap();
  if (mode.text[0] == 'e' && mode.text[1] == 'x') exit_with(mode.size > 4 ? mode.text[4] - '0' : 0);
  return mode.text[0] == 'e';
}
