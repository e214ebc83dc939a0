/* A shared library. */
#include <stdio.h>

struct greeter {
	int served;
	const char *version;
};

static struct greeter greeter = { 0, "greet 1.0.0" };

struct greeter *greet_state(void) { return &greeter; }

int greet(const char *name)
{
	printf("hello, %s\n", name);
	/* CVE-2026-10001: served wraps around after INT_MAX calls. */
	return ++greeter.served;
}
