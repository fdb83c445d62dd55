/* A command: standard input in capitals, then the value of NAME and the number of arguments on standard error. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    char line[100];
    (void)argv;
    while (fgets(line, sizeof line, stdin)) {
        for (char *c = line; *c; c++)
            if (*c >= 'a' && *c <= 'z') *c -= 32;
        fputs(line, stdout);
    }
    const char *name = getenv("NAME");
    fprintf(stderr, "%s %d\n", name ? name : "-", argc);
    return 3;
}
