package notify

import "fmt"

// Behind returns how many records each endpoint, by its name, has not been
// taken through yet. What is being sent is among them.
func (n *Notifier) Behind() (map[string]int64, error) {
	behind := make(map[string]int64, len(n.followers))
	for _, f := range n.followers {
		at, _, err := f.cursor.load()
		if err != nil {
			return nil, fmt.Errorf("notifications: endpoint %q: %w", f.endpoint.Name, err)
		}
		behind[f.endpoint.Name] = max(0, f.source.Last()-at)
	}
	return behind, nil
}
