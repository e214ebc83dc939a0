package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/registry/spelling"
)

// embargo asks, as a host that an embargo is for, for an artifact of the
// embargoed product, and each time again in a repository that nobody has: both
// have to be answered alike, down to the last byte but the name.
func (d *Doctor) embargo(ctx context.Context) {
	if d.Embargoed == nil {
		return
	}
	if d.Host == nil {
		d.note(Skip, "embargo: an artifact", "no host was given to ask as", "give the state of one that the embargo does not name: --host-state DIR")
		return
	}
	there, none := *d.Embargoed, *d.Embargoed
	none.Repository = nobodys(len(there.Repository))
	ways := func(s spelling.Subject) []spelling.Way {
		return slices.Concat(spelling.Straight(s), spelling.Swapped(s), spelling.Lists(s), spelling.Changes(s))
	}
	other := ways(none)
	for i, w := range ways(there) {
		if ctx.Err() != nil {
			return
		}
		d.found = append(d.found, d.alike(ctx, "embargo: "+w.Name, [2]spelling.Way{w, other[i]}, [2]string{there.Repository, none.Repository}))
	}
}

// nobodys is the name of a repository that nobody has, of n characters.
func nobodys(n int) string {
	return strings.ToLower(rand.Text() + strings.Repeat("x", n))[:n]
}

const tellsEmbargo = "what is embargoed can be told from what is not there: see what stands before the server; SECURITY.md says whom to tell"

// alike asks both ways and compares the answers.
func (d *Doctor) alike(ctx context.Context, what string, ways [2]spelling.Way, names [2]string) Finding {
	var got [2]*answer
	for i, w := range ways {
		a, err := d.ask(ctx, d.Host, w)
		if err != nil {
			return Finding{Fail, what, err.Error(), "see what stands before the server; an answer is expected"}
		}
		if a.status == http.StatusTooManyRequests {
			return Finding{Skip, what, a.told(), "ask again later"}
		}
		d.look(what, w.Target, a)
		a.body = bytes.ReplaceAll(a.body, []byte(names[i]), nil)
		a.header = a.header.Clone()
		a.header.Del("Date")
		got[i] = a
	}
	same := maps.EqualFunc(got[0].header, got[1].header, slices.Equal)
	if got[0].status != got[1].status || !same || !bytes.Equal(got[0].body, got[1].body) {
		return Finding{Fail, what, fmt.Sprintf("%s %q; where nothing is %s %q", got[0].told(), firstLine(got[0].body), got[1].told(), firstLine(got[1].body)), tellsEmbargo}
	}
	return Finding{OK, what, got[0].told() + ", as where nothing is", ""}
}
