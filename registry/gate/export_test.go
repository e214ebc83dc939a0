package gate

// Remembered returns how many answers g has in memory.
func Remembered(g *Gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.answers) + len(g.retired)
}

// Forget makes the next use of every answer its first.
func Forget(g *Gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.answers)
}
