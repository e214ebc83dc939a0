package pace

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

var proxies = Proxies{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}

// TestClientsBehindProxies: "" is the peer's own address.
func TestClientsBehindProxies(t *testing.T) {
	const proxy, far = "10.0.0.1:4000", "192.0.2.1"
	xff := func(lines ...string) http.Header { return http.Header{"X-Forwarded-For": lines} }
	fwd := func(lines ...string) http.Header { return http.Header{"Forwarded": lines} }
	for name, c := range map[string]struct {
		peer string
		h    http.Header
		want string
	}{
		"as a proxy says it":                       {proxy, xff(far), far},
		"IPv6":                                     {"[fd00::1]:1", xff("2001:db8::1"), "2001:db8::1"},
		"IPv4 as IPv6, of the peer":                {"[::ffff:10.0.0.1]:1", xff(far), far},
		"IPv4 as IPv6, of the client":              {proxy, xff("::ffff:192.0.2.1"), far},
		"with a port":                              {proxy, xff(far + ":1234"), far},
		"IPv6 with a port":                         {proxy, xff("[2001:db8::1]:1234"), "2001:db8::1"},
		"IPv6 in brackets":                         {proxy, xff("[2001:db8::1]"), "2001:db8::1"},
		"spaces":                                   {proxy, xff("1.1.1.1 ,\t" + far + " "), far},
		"two proxies":                              {proxy, xff(far + ", 10.0.0.2"), far},
		"a line for each proxy":                    {proxy, xff(far, "10.0.0.2", "10.0.0.3"), far},
		"Forwarded":                                {proxy, fwd("for=" + far), far},
		"Forwarded with more to say":               {proxy, fwd(`by=_x;FOR="192.0.2.1:80";proto=https;host="a,b;c"`), far},
		"Forwarded, IPv6":                          {proxy, fwd(`for="[2001:db8::1]:4711"`), "2001:db8::1"},
		"Forwarded by two":                         {proxy, fwd("for=" + far + ", for=10.0.0.2;by=x"), far},
		"Forwarded, a line for each":               {proxy, fwd("for="+far, "for=10.0.0.2"), far},
		"attack: no proxy speaks":                  {"198.51.100.1:1", xff("10.0.0.9"), ""},
		"attack: nearly a proxy":                   {"10.0.1.1:1", xff(far), ""},
		"attack: nobody is left behind the proxy":  {proxy, http.Header{}, ""},
		"attack: a forged entry before the true":   {proxy, xff("203.0.113.9, " + far), far},
		"attack: a forged line before the true":    {proxy, xff("203.0.113.9", far), far},
		"attack: rubbish before the true":          {proxy, xff("',\"\x00, unknown, , " + far), far},
		"attack: a forged proxy before the true":   {proxy, xff("10.0.0.7, " + far), far},
		"attack: forged behind a trusted entry":    {proxy, xff("203.0.113.9, " + far + ", 10.0.0.2"), far},
		"attack: only proxies":                     {proxy, xff("10.0.0.2, 10.0.0.3"), ""},
		"attack: many hops":                        {proxy, xff(far + strings.Repeat(", 10.0.0.2", 8)), ""},
		"attack: the other header":                 {proxy, http.Header{"X-Forwarded-For": {far}, "Forwarded": {"for=203.0.113.9"}}, ""},
		"attack: the other header, empty":          {proxy, http.Header{"X-Forwarded-For": {far}, "Forwarded": {""}}, ""},
		"attack: another header":                   {proxy, http.Header{"X-Real-Ip": {far}, "X-Client-Ip": {far}, "True-Client-Ip": {far}}, ""},
		"odd: empty":                               {proxy, xff(""), ""},
		"odd: empty at the end":                    {proxy, xff(far + ","), ""},
		"odd: an empty line at the end":            {proxy, xff(far, ""), ""},
		"odd: a name":                              {proxy, xff("localhost"), ""},
		"odd: unknown":                             {proxy, xff("unknown"), ""},
		"odd: a zone":                              {proxy, xff("fe80::1%eth0"), ""},
		"odd: a zone and a port":                   {proxy, xff("[fe80::1%eth0]:1"), ""},
		"odd: octal":                               {proxy, xff("192.0.02.1"), ""},
		"odd: a short IPv4":                        {proxy, xff("192.0.1"), ""},
		"odd: a number":                            {proxy, xff("3221225985"), ""},
		"odd: half a bracket":                      {proxy, xff("[2001:db8::1"), ""},
		"odd: the other half":                      {proxy, xff("2001:db8::1]"), ""},
		"odd: IPv4 in brackets":                    {proxy, xff("[192.0.2.1]"), ""},
		"odd: a port that is none":                 {proxy, xff(far + ":99999"), ""},
		"odd: quotes":                              {proxy, xff(`"192.0.2.1"`), ""},
		"odd: a network":                           {proxy, xff("192.0.2.0/24"), ""},
		"odd: behind a proxy":                      {proxy, xff("x, 10.0.0.2"), ""},
		"odd: two words":                           {proxy, xff(far + " " + far), ""},
		"Forwarded attack: forged before the true": {proxy, fwd("for=203.0.113.9, for=" + far), far},
		"Forwarded attack: an open quote":          {proxy, fwd(`for=", for=192.0.2.1`), ""},
		"Forwarded attack: a quote eats a comma":   {proxy, fwd(`for="203.0.113.9, for="[2001:db8::1]"`), ""},
		"Forwarded attack: a quote eats a pair":    {proxy, fwd(`x=", for=192.0.2.1;host="a"`), ""},
		"Forwarded attack: an escaped quote":       {proxy, fwd(`host="\", for=203.0.113.9, x=\"";for=192.0.2.1`), ""},
		"Forwarded attack: for twice":              {proxy, fwd("for=203.0.113.9;for=192.0.2.1"), ""},
		"Forwarded odd: nobody":                    {proxy, fwd("by=10.0.0.1;proto=https"), ""},
		"Forwarded odd: hidden":                    {proxy, fwd("for=_hidden"), ""},
		"Forwarded odd: unknown":                   {proxy, fwd("for=unknown"), ""},
		"Forwarded odd: IPv6 without quotes":       {proxy, fwd("for=[2001:db8::1]"), ""},
		"Forwarded odd: empty":                     {proxy, fwd(""), ""},
		"Forwarded odd: a bare address":            {proxy, fwd(far), ""},
		"Forwarded odd: spaces in a pair":          {proxy, fwd("for= " + far), ""},
		"Forwarded odd: a semicolon at the end":    {proxy, fwd("for=" + far + ";"), ""},
		"odd: the peer's own address":              {"somewhere", xff(far), ""},
	} {
		got := ""
		if a, ok := proxies.client(c.peer, c.h); ok {
			got = a.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestThrough: who comes next sees the client, and nobody's request changes.
func TestThrough(t *testing.T) {
	var seen string
	h := proxies.Through(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr }))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:4000"
	r.Header.Set("X-Forwarded-For", "2001:db8::1")
	h.ServeHTTP(nil, r)
	if PlaceOf(seen).String() != "2001:db8::/64" || r.RemoteAddr != "10.0.0.1:4000" {
		t.Errorf("seen %s, the request says %s", seen, r.RemoteAddr)
	}
	r.Header.Set("X-Forwarded-For", "x")
	if h.ServeHTTP(nil, r); seen != "10.0.0.1:4000" {
		t.Errorf("of rubbish: seen %s", seen)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	Proxies(nil).Through(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr })).ServeHTTP(nil, r)
	if seen != "10.0.0.1:4000" {
		t.Errorf("without proxies: seen %s", seen)
	}
}

// TestProxiesAreManyPlaces: a proxy may have as many connections as there may
// be, anybody else not.
func TestProxiesAreManyPlaces(t *testing.T) {
	l := Listen(nil, Connections{Total: 10, Place: 1, Proxies: Proxies{netip.MustParsePrefix("127.0.0.0/8")}}).(*listener)
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "192.0.2.1:1": false} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		first, second := l.count(&placed{at: a}), l.count(&placed{at: a})
		if first == nil || (second != nil) != want {
			t.Errorf("%s: a second connection: %v, want %v", addr, second != nil, want)
		}
	}
}

type placed struct {
	net.Conn
	at net.Addr
}

func (p *placed) RemoteAddr() net.Addr { return p.at }
func (p *placed) Close() error         { return nil }

// FuzzProxies: whatever a header says, a client is one of its own words or
// nobody, and never a proxy.
func FuzzProxies(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.2", "")
	f.Add("", `for="[2001:db8::1]:1";by=x`)
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		h := make(http.Header)
		if xff != "" {
			h.Set("X-Forwarded-For", xff)
		}
		if forwarded != "" {
			h.Set("Forwarded", forwarded)
		}
		a, ok := proxies.client("10.0.0.1:1", h)
		if ok && (proxies.Trusts(a) || !a.IsValid() || xff != "" && forwarded != "") {
			t.Errorf("%q %q: %v", xff, forwarded, a)
		}
	})
}
