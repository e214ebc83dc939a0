/* The demo's base: a shared library whose state has enums in it, so that one
 * compiler flag (-fshort-enums) moves every field behind them. Nothing on the
 * outside shows it: same version string, same soname, same symbols. */
#include <stdio.h>

enum mood { CALM, CHEERFUL, LOUD };

struct greeter {
	enum mood mood, previous;
	int served;
	const char *version;
};

static struct greeter greeter = { CALM, CALM, 0, "greet 1.0.0" };

const char *greet_version(void) { return greeter.version; }

struct greeter *greet_state(void) { return &greeter; }

int greet(const char *name)
{
	printf("hello, %s\n", name);
	/* CVE-2026-10001: served wraps around after INT_MAX calls. */
	return ++greeter.served;
}
