/* A shared library that can be patched while it runs. */
#include <stdio.h>

int greet(const char *name)
{
	/* CVE-2026-10001: whoever has no name ends the process. */
	return printf("hello, %s (%c)\n", name, name[0]);
}
