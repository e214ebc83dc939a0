package serverconfig

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shown returns every key below limits and its default, as the page has it.
func shown(prefix string, v reflect.Value) map[string]string {
	out := make(map[string]string)
	for f, value := range v.Fields() {
		name := prefix + regexp.MustCompile(`^[a-zA-Z]+`).FindString(f.Tag.Get("json"))
		switch x := value.Interface().(type) {
		case Rate:
			for k, d := range shown(name+".", value) {
				out[k] = d
			}
		case Count:
			out[name] = fmt.Sprint(int64(x))
		case Duration:
			out[name] = short(time.Duration(x))
		case []Network:
			out[name] = "none"
		}
		if out[name] == "0" {
			out[name] = "none"
		}
	}
	return out
}

func short(d time.Duration) string {
	return regexp.MustCompile(`([hm])0[ms](0s)?$`).ReplaceAllString(d.String(), "$1")
}

// TestPageOfLimits holds docs/spec/limits.md against the code: every key, and
// its default.
func TestPageOfLimits(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	page, _, ok := bytes.Cut(page, []byte("keys of `registry:`")) // what follows is in another part of the configuration
	if !ok {
		t.Fatal("the page no longer tells where the keys of limits end")
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z.]+)` \\| ([^|]*?) \\|").FindAllSubmatch(page, -1) {
		documented[string(m[1])] = regexp.MustCompile("[`,]").ReplaceAllString(string(m[2]), "")
	}
	coded := shown("", reflect.ValueOf(Limits{}.Whole()))
	l := Limits{}
	for rate := range l.rates() {
		delete(coded, rate)
	}
	if diff := cmp.Diff(coded, documented); diff != "" {
		t.Error(diff)
	}
}

func TestWholeKeepsWhatIsSet(t *testing.T) {
	l := Limits{Connections: 1, Host: Rate{Burst: 2}, AuditTime: Duration(time.Second)}.Whole()
	if l.Connections != 1 || l.Host.Burst != 2 || l.Host.PerSecond != 20 || l.AuditTime != Duration(time.Second) || l.Streams != 100 {
		t.Errorf("got %+v", l)
	}
}

// TestTrustedProxies: networks, in one form, and never everybody.
func TestTrustedProxies(t *testing.T) {
	for list, wrong := range map[string]string{
		"[10.0.0.0/24, 192.0.2.1/32, 'fd00::/64']": "",
		"[10.0.0.1/24]":           "say 10.0.0.0/24",
		"[10.0.0.1]":              "no network",
		"[proxy.example.org]":     "no network",
		"['::ffff:10.0.0.0/104']": "first address",
		"[0.0.0.0/0]":             "everybody",
		"['::/0']":                "everybody",
		"10.0.0.0/24":             "trustedProxies",
		"[10.0.0.0/33]":           "no network",
	} {
		c, err := Load([]byte(good + "limits: {trustedProxies: " + list + "}\n"))
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want %q", list, err, wrong)
		}
		if err == nil && len(c.Limits.TrustedProxies) != 3 {
			t.Errorf("%s: got %v", list, c.Limits.TrustedProxies)
		}
	}
}
