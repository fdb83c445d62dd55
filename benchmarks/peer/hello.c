// A wasi:http function that answers "hello".
#include "http.h"

__attribute__((export_name("wasi:http/incoming-handler@0.2.12#handle")))
void handle(int32_t request, int32_t out) { answer(request, out, "hello\n", 6); }
