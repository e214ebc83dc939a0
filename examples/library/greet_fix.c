/* Its live patch: greet() that does not wrap around. It knows where `served` lies
 * in the state of the library that runs, which no other build has to share. */
#include <stdio.h>

struct greeter {
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
