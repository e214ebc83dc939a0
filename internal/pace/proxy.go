package pace

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of the proxies that say truly whom they speak for:
// each appends its client to X-Forwarded-For or to Forwarded (RFC 7239).
type Proxies []netip.Prefix

// mostHops is how many of them there may be, one behind the other.
const mostHops = 8

// Trusts reports whether an address is one of a proxy.
func (p Proxies) Trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a.Unmap().WithZone("")) })
}

// Through gives next each request with the address of its client, where a proxy
// sent it. Addresses are for limits; nobody gets in for one.
func (p Proxies) Through(next http.Handler) http.Handler {
	if len(p) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := p.client(r.RemoteAddr, r.Header); ok {
			r = r.WithContext(r.Context()) // a copy: the address is ours alone
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

// client returns whom a proxy at peer speaks for: the entry added last that is
// no proxy itself. What stands before that one anybody may have written, so
// nobody looks at it. Where the peer is no proxy, where both headers are there,
// of which the proxy wrote at most one, and where anything is not in its form,
// there is no such client.
func (p Proxies) client(peer string, h http.Header) (netip.Addr, bool) {
	from, err := netip.ParseAddrPort(peer)
	if err != nil || !p.Trusts(from.Addr()) {
		return netip.Addr{}, false
	}
	lines, read := h["X-Forwarded-For"], lastAddress
	if forwarded := h["Forwarded"]; len(forwarded) > 0 {
		if len(lines) > 0 {
			return netip.Addr{}, false
		}
		lines, read = forwarded, lastElement
	}
	hops := 0
	for _, line := range slices.Backward(lines) {
		for rest, more := line, true; more; hops++ {
			var a netip.Addr
			var ok bool
			if a, rest, more, ok = read(rest); !ok || hops >= mostHops {
				return netip.Addr{}, false
			}
			if !p.Trusts(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// lastAddress reads the last entry of a line of X-Forwarded-For. rest is what
// stands before it, if there is more.
func lastAddress(line string) (a netip.Addr, rest string, more, ok bool) {
	at := strings.LastIndexByte(line, ',')
	a, ok = address(strings.Trim(line[at+1:], " \t"))
	return a, line[:max(at, 0)], at >= 0, ok
}

// address reads an address, with or without a port. Zones are of another
// machine.
func address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if bracketed := strings.HasPrefix(text, "["); err == nil && (bracketed != strings.HasSuffix(text, "]") || bracketed && !a.Is6()) {
		return netip.Addr{}, false
	}
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		a = with.Addr()
	}
	return a.Unmap(), a.Zone() == "" && a.IsValid()
}

// lastElement reads the last element of a line of Forwarded. Quotes reach over
// commas, so the line is read from its start: where anything in it is not in
// its form, none of it counts.
func lastElement(line string) (a netip.Addr, rest string, more, ok bool) {
	elements, ok := split(line, ',')
	if !ok {
		return a, "", false, false
	}
	last := len(elements) - 1
	a, ok = forwardedFor(strings.Trim(elements[last], " \t"))
	return a, strings.Join(elements[:last], ","), last > 0, ok
}

// forwardedFor returns the one for= of an element.
func forwardedFor(element string) (a netip.Addr, ok bool) {
	pairs, ok := split(element, ';')
	if !ok {
		return a, false
	}
	found := false
	for _, pair := range pairs {
		name, value, is := strings.Cut(pair, "=")
		if value, is = unquoted(value, is); !is || !isToken(name) {
			return netip.Addr{}, false
		}
		if !strings.EqualFold(name, "for") {
			continue
		}
		if found {
			return netip.Addr{}, false
		}
		if a, found = address(value); !found {
			return netip.Addr{}, false
		}
	}
	return a, found
}

// split cuts a line at each sep that is not inside quotes.
func split(line string, sep byte) (parts []string, ok bool) {
	quoted, from := false, 0
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '\\':
			return nil, false // no address needs one
		case line[i] == sep && !quoted:
			parts, from = append(parts, line[from:i]), i+1
		}
	}
	return append(parts, line[from:]), !quoted
}

// unquoted returns what a value says: a token, or a quoted string.
func unquoted(value string, ok bool) (string, bool) {
	inside, begins := strings.CutPrefix(value, `"`)
	if !begins {
		return value, ok && isToken(value)
	}
	inside, ends := strings.CutSuffix(inside, `"`)
	return inside, ok && ends && !strings.Contains(inside, `"`)
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
