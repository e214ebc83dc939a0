/* Its live patch: count() that counts lines. */
int count(int lines, int c)
{
	return lines + (c == '\n');
}
