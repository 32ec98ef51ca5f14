/* Asks the C library for the addresses of names, of both families. */
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
		char text[64];
		int failed = getaddrinfo(argv[i], "443", &hints, &found);
		printf("%s %d:", argv[i], failed);
		for (struct addrinfo *one = failed ? NULL : found; one; one = one->ai_next) {
			getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
			printf(" %s", text);
		}
		puts("");
	}
	return 0;
}
