/* Its live patch. */
#include <stdio.h>

int greet_fixed(const char *name)
{
	return name ? printf("hello, %s (%c)\n", name, name[0]) : printf("hello\n");
}
