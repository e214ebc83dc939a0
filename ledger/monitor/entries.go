package monitor

import (
	"fmt"
	"time"

	"github.com/patchfit/patchfit/ledger"
)

// look spools what there is to say of an entry.
func (m *Monitor) look(origin string, index uint64, leaf []byte) error {
	if m.o.Watched == nil && m.o.Known == nil {
		return nil
	}
	a := Alert{SchemaVersion: 1, Origin: origin, Time: time.Now().UTC().Truncate(time.Second), Index: &index}
	e, err := ledger.ParseEntry(leaf)
	if err != nil {
		a.Alert, a.Text = Unreadable, fmt.Sprintf("entry %d cannot be read: %v", index, err)
		return m.spool.add(a)
	}
	a.Key, a.Digest = e.Key.ID(), e.Digest
	name, watched := m.o.Watched[a.Key]
	switch {
	case watched:
		a.Alert, a.Name, a.Text = WatchedKey, name, fmt.Sprintf("entry %d was signed by %s", index, name)
	case m.o.Known != nil && e.Certificate != nil && m.o.Known(e.Certificate.Name()):
		return nil
	case m.o.Known != nil && e.Certificate != nil:
		a.Alert, a.Text = UnknownKey, fmt.Sprintf("entry %d was signed by %s, with a certificate of %q (issuer %q), a name nobody named", index, a.Key, e.Certificate.SAN(), e.Certificate.Issuer())
	case m.o.Known != nil && !m.o.Known(a.Key):
		a.Alert, a.Text = UnknownKey, fmt.Sprintf("entry %d was signed by %s, a key nobody named", index, a.Key)
	default:
		return nil
	}
	return m.spool.add(a)
}
