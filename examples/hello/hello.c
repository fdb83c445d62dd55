// The smallest function: a CGI program. Each request runs it in a fresh sandbox.
#include <stdio.h>

int main(void) {
    puts("Content-Type: text/plain\n\nHello from a fresh sandbox!");
    return 0;
}
