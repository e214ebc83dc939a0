package journal

import "time"

// Stats say how a journal is doing, for whoever watches it.
type Stats struct {
	Records int64     // sequence of the newest
	Sealed  int64     // of the newest that is sealed
	Oldest  time.Time // receipt of the oldest record that is not sealed; zero: all are
}

// Stats reads the oldest segment that is not sealed, if there is one: it is for
// once in a while.
func (j *Journal) Stats() (Stats, error) {
	j.mu.Lock()
	s := Stats{Records: j.last.Sequence, Sealed: j.sealed()}
	j.mu.Unlock()
	if s.Records == s.Sealed {
		return s, nil
	}
	for r, err := range j.Records(s.Sealed + 1) {
		if err != nil {
			return s, err
		}
		s.Oldest = r.Time
		break
	}
	return s, nil
}
