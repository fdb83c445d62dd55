/* The world `text` by hand: what bindings would generate, without a runtime. */
typedef unsigned int u32;
typedef unsigned char u8;

struct string {
    const u8 *bytes;
    u32 length;
};

__attribute__((import_module("$root"), import_name("log"))) void host_log(const u8 *line, u32 length);

static u8 heap[1 << 16];
static u32 used;
static struct { u32 failed; struct string text; } answer;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
    used = (used + align - 1) & -align;
    u8 *made = heap + used;
    used += size;
    if (used > sizeof heap) __builtin_trap();
    for (u32 i = 0; i < old_size; i++) made[i] = ((u8 *)old)[i];
    return made;
}

static u32 add(u8 *to, u32 at, const u8 *bytes, u32 length) {
    for (u32 i = 0; i < length; i++)
        to[at + i] = bytes[i] >= 'a' && bytes[i] <= 'z' ? bytes[i] - 32 : bytes[i];
    return at + length;
}

__attribute__((export_name("shout"))) void *shout(const struct string *words, u32 count) {
    u8 line[] = "shouting 0";
    line[9] = '0' + count % 10;
    host_log(line, 10);
    answer.failed = count == 0;
    if (count == 0) {
        answer.text = (struct string){(const u8 *)"nothing to say", 14};
        return &answer;
    }
    u32 size = count;
    for (u32 i = 0; i < count; i++) size += words[i].length;
    u8 *text = cabi_realloc(0, 0, 1, size);
    u32 at = 0;
    for (u32 i = 0; i < count; i++) {
        if (i) text[at++] = ' ';
        at = add(text, at, words[i].bytes, words[i].length);
    }
    text[at++] = '!';
    answer.text = (struct string){text, at};
    return &answer;
}

__attribute__((export_name("cabi_post_shout"))) void shout_done(void *answered) {
    if (answered != &answer) __builtin_trap();
    used = 0;
}
