package mirror

import "io"

// A counter tells how much was read.
type counter struct {
	r      io.Reader
	n      int64
	report func(int64)
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.report(c.n)
	return n, err
}
