/* The demo's live patch: greet() without the wrap-around. It knows where
 * `served` lies in the running library's state, which is true only for a
 * library built with the flags this patch was built with. */
#include <stdio.h>

enum mood { CALM, CHEERFUL, LOUD };

struct greeter {
	enum mood mood, previous;
	int served;
	const char *version;
};

extern struct greeter *greet_state(void);

int greet(const char *name)
{
	struct greeter *g = greet_state();

	printf("hello, %s\n", name);
	if (g->served < 0x7fffffff)
		g->served++;
	return g->served;
}
