package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/patchfit/patchfit/registry/spelling"
)

const (
	// maxSkew is how far clocks may be apart: the server refuses what is signed
	// more than two seconds ahead of it, and Date has whole seconds.
	maxSkew = 3 * time.Second
	// renewCertificate is how long before its end a certificate is to be
	// renewed.
	renewCertificate = 14 * 24 * time.Hour
)

// general asks what can be asked of any server, and reports whether it answers
// at all.
func (d *Doctor) general(ctx context.Context) bool {
	sent := d.Now()
	a, err := d.ask(ctx, d.nobody, spelling.Way{Method: http.MethodGet, Target: "/readyz"})
	if err != nil {
		d.note(Fail, "ready", err.Error(), "see that the address is right and the server runs; --tls-key tells a key that no authority vouches for")
		return false
	}
	if a.status == http.StatusOK {
		d.note(OK, "ready", a.told(), "")
	} else {
		d.note(Fail, "ready", fmt.Sprintf("%s: %q", a.told(), firstLine(a.body)), "see the server's log")
	}
	d.clock(a, sent, d.Now())
	d.tls(a)
	d.login(ctx)
	return true
}

// clock compares the server's clock with this machine's.
func (d *Doctor) clock(a *answer, sent, got time.Time) {
	const what = "clock"
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		d.note(Fail, what, fmt.Sprintf("the answer's Date is %.80q", a.header.Get("Date")), "see what stands before the server: it must not change headers")
		return
	}
	skew := time.Duration(0)
	switch { // Date is the second that was
	case date.Add(time.Second).Before(sent):
		skew = date.Add(time.Second).Sub(sent)
	case date.After(got):
		skew = date.Sub(got)
	}
	if skew.Abs() > maxSkew {
		d.note(Fail, what, fmt.Sprintf("the server's clock and this one are %s apart", skew.Abs().Round(time.Second)), "set the one that is wrong: records and proofs of who asks carry the time")
		return
	}
	d.note(OK, what, fmt.Sprintf("less than %s apart", skew.Abs().Truncate(time.Second)+time.Second), "")
}

// tls looks at the connection.
func (d *Doctor) tls(a *answer) {
	const version, certificate = "TLS version", "TLS certificate"
	if a.tls == nil || len(a.tls.PeerCertificates) == 0 {
		d.note(Skip, version, "there is no TLS", "plain HTTP is for this machine only")
		d.note(Skip, certificate, "there is no TLS", "")
		return
	}
	name := tls.VersionName(a.tls.Version)
	if a.tls.Version < tls.VersionTLS12 {
		d.note(Fail, version, name, "set TLS 1.2 as the least, in whatever stands before the server")
	} else {
		d.note(OK, version, name, "")
	}
	end := a.tls.PeerCertificates[0].NotAfter
	left := end.Sub(d.Now())
	fact := fmt.Sprintf("it ends at %s", end.UTC().Format(time.RFC3339))
	if left < renewCertificate {
		d.note(Fail, certificate, fact, "renew it, with the same key: agents know the server by that")
		return
	}
	d.note(OK, certificate, fact, "")
}

// login asks whether nobody is told to say who they are.
func (d *Doctor) login(ctx context.Context) {
	const what = "nobody is asked who they are"
	w := spelling.Way{Method: http.MethodGet, Target: "/v2/"}
	a, err := d.ask(ctx, d.nobody, w)
	if err != nil {
		d.note(Fail, what, err.Error(), "see the server's log")
		return
	}
	d.look(what, w.Target, a)
	if a.status != http.StatusUnauthorized || a.header.Get("Www-Authenticate") == "" {
		d.note(Fail, what, fmt.Sprintf("%s, WWW-Authenticate %.200q", a.told(), a.header.Get("Www-Authenticate")), "see that this is a patchfit server, and what stands before it")
		return
	}
	d.note(OK, what, a.told(), "")
}
