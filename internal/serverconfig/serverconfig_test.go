package serverconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const good = `
listen: 0.0.0.0:8443
url: https://patches.example.org
tls: {certificate: /etc/patchfit/tls.crt, key: /etc/patchfit/tls.key}
data: /var/lib/patchfit
origin: patches.example.org
`

func TestLoad(t *testing.T) {
	got, err := Load([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listen: "0.0.0.0:8443",
		URL:    "https://patches.example.org",
		TLS:    TLS{Certificate: "/etc/patchfit/tls.crt", Key: "/etc/patchfit/tls.key"},
		Data:   "/var/lib/patchfit",
		Origin: "patches.example.org",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSample(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join("..", "..", "deploy", "patchfitd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(sample)
	if err != nil {
		t.Fatalf("the sample configuration is refused: %v", err)
	}
	if c.TLS == (TLS{}) || c.SitePolicy == "" || len(c.Notifications) == 0 || c.Registry.GC == nil || c.Registry.Free == nil || c.Registry.Scrub == nil || len(c.Registry.Retention) == 0 || len(c.Limits.TrustedProxies) == 0 || c.Metrics == (Metrics{}) {
		t.Errorf("the sample does not show every key: %+v", c)
	}
}

const bucket = `
storage:
  kind: s3
  s3:
    endpoint: https://s3.example.org
    region: us-east-1
    bucket: patches
    prefix: prod
    accessKeyFile: /etc/patchfit/s3-access
    secretKeyFile: /etc/patchfit/s3-secret
`

func TestLoadStorage(t *testing.T) {
	full := S3{
		Endpoint: "https://s3.example.org", Region: "us-east-1", Bucket: "patches", Prefix: "prod",
		AccessKeyFile: "/etc/patchfit/s3-access", SecretKeyFile: "/etc/patchfit/s3-secret",
	}
	for file, want := range map[string]Storage{
		"":                        {},
		"storage: {kind: disk}\n": {Kind: Disk},
		bucket:                    {Kind: Bucket, S3: full},
		"storage: {kind: s3, s3: {endpoint: 'http://127.0.0.1:9', region: r, bucket: b, virtualHost: true, caFile: /ca}}\n": {
			Kind: Bucket, S3: S3{Endpoint: "http://127.0.0.1:9", Region: "r", Bucket: "b", VirtualHost: true, CAFile: "/ca"},
		},
	} {
		c, err := Load([]byte(good + file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if diff := cmp.Diff(want, c.Storage); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

func TestLoadRefusesStorage(t *testing.T) {
	swap := func(from, to string) string {
		if !strings.Contains(bucket, from) {
			t.Fatalf("%q is not in the bucket's section", from)
		}
		return strings.Replace(bucket, from, to, 1)
	}
	for name, tc := range map[string]struct{ file, want string }{
		"no kind":          {swap("  kind: s3\n", ""), "/storage/kind: missing"},
		"empty kind":       {swap("kind: s3", "kind: ''"), "storage.kind is not s3"},
		"other kind":       {swap("kind: s3", "kind: gcs"), "neither disk nor s3"},
		"disk with bucket": {swap("kind: s3", "kind: disk"), "storage.kind is not s3"},
		"s3 without":       {"storage: {kind: s3}\n", "does not say which bucket"},
		"null s3":          {"storage: {kind: s3, s3: }\n", "/storage/s3: null"},
		"unknown key":      {bucket + "    secretKey: hunter2\n", "/storage/s3/secretKey: unknown member"},
		"key twice":        {bucket + "    bucket: other\n", "not strict YAML"},
		"no endpoint":      {swap("    endpoint: https://s3.example.org\n", ""), "/storage/s3/endpoint: missing"},
		"plain endpoint":   {swap("https://", "http://"), "must be https"},
		"other scheme":     {swap("https://", "ftp://"), "must be https"},
		"path":             {swap("example.org", "example.org/bucket"), "endpoint"},
		"user":             {swap("https://", "https://me:pw@"), "endpoint"},
		"no region":        {swap("us-east-1", "''"), "region"},
		"no bucket":        {swap("patches", "''"), "bucket"},
		"one key file":     {swap("    secretKeyFile: /etc/patchfit/s3-secret\n", ""), "name both"},
		"relative key":     {swap("/etc/patchfit/s3-secret", "s3-secret"), "storage.s3.secretKeyFile"},
		"relative ca":      {bucket + "    caFile: ca.pem\n", "storage.s3.caFile"},
		"string for bool":  {bucket + "    virtualHost: 'yes'\n", "/storage/s3/virtualHost"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load([]byte(good + tc.file))
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want it to name %q", err, tc.want)
			}
		})
	}
}

func TestLoadPlainOnLoopback(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:5000", "localhost:5000"} {
		file := "listen: '" + listen + "'\nurl: http://127.0.0.1:5000\ndata: /d\norigin: localhost\n"
		if _, err := Load([]byte(file)); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	path := filepath.Join("etc", "patchfitd.yaml")
	for name, c := range map[string]*Config{
		"plain": {Listen: "127.0.0.1:0", Data: "data", Origin: "patchfit.localhost"},
		"tls": {Listen: "192.0.2.1:443", Data: "data", Origin: "a.example", TLS: TLS{Certificate: "c", Key: "k"}, SitePolicy: "s",
			Limits:        Limits{Connections: 7, Host: Rate{Burst: 9}, BodyStall: Duration(time.Second)},
			Notifications: []Notification{{Name: "a", URL: "https://x", Secrets: []string{"/s"}, Timeout: Duration(90 * time.Second)}}},
		"s3": {Listen: "127.0.0.1:0", Data: "data", Origin: "a.example", Storage: Storage{Kind: Bucket, S3: S3{
			Endpoint: "https://s3.example", Region: "r", Bucket: "bbb", AccessKeyFile: "a", SecretKeyFile: "s",
		}}},
	} {
		if err := c.Write(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := filepath.Join(dir, "data"); c.Data != want {
			t.Errorf("%s: data is %s, want %s", name, c.Data, want)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(b)
		if err != nil {
			t.Fatalf("%s: what Write wrote is refused: %v\n%s", name, err, b)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := c.Write(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: writing twice: %v, want that it exists", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&Config{Listen: "0.0.0.0:1", Data: "d", Origin: "o"}).Write(path); err == nil {
		t.Error("wrote a configuration Load refuses")
	}
}

func TestBaseURL(t *testing.T) {
	for want, c := range map[string]*Config{
		"http://127.0.0.1:7":  {},
		"https://127.0.0.1:7": {TLS: TLS{Certificate: "c", Key: "k"}},
		"https://p.example":   {URL: "https://p.example"},
	} {
		if got := BaseURL(c, "127.0.0.1:7"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	swap := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%q is not in the good file", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	const tlsLine = "tls: {certificate: /etc/patchfit/tls.crt, key: /etc/patchfit/tls.key}\n"
	for name, tc := range map[string]struct{ file, want string }{
		"empty":             {"", "null is not allowed"},
		"a list":            {"- a\n", "array"},
		"unknown key":       {good + "port: 1\n", "/port: unknown member"},
		"other case":        {swap("data:", "Data:"), "/Data: unknown member"},
		"key twice":         {good + "data: /other\n", "not strict YAML"},
		"missing data":      {swap("data: /var/lib/patchfit\n", ""), "/data: missing"},
		"missing tls key":   {swap(", key: /etc/patchfit/tls.key", ""), "/tls/key: missing"},
		"null tls":          {swap(tlsLine, "tls:\n"), "/tls: null"},
		"number for string": {swap("data: /var/lib/patchfit", "data: 7"), "/data"},
		"relative data":     {swap("/var/lib/patchfit", "lib"), `data "lib" is not an absolute path`},
		"relative key":      {swap("key: /etc/", "key: etc/"), "tls.key"},
		"relative policy":   {good + "sitePolicy: site.yaml\n", "sitePolicy"},
		"which address?":    {strings.Replace(good, "url: https://patches.example.org\n", "", 1), "say with url which one"},
		"empty tls":         {swap(tlsLine, "tls: {}\n"), "/tls/certificate: missing"},
		"no port":           {swap(":8443", ""), "listen"},
		"no tls":            {swap(tlsLine, ""), "plain http is for loopback only"},
		"no tls, any":       {strings.Replace(swap(tlsLine, ""), "0.0.0.0:8443", "':8443'", 1), "plain http is for loopback only"},
		"plain url":         {swap("https://", "http://"), "plain http, but tls is configured"},
		"url with a path":   {swap("patches.example.org\ntls", "patches.example.org/v2\ntls"), "url"},
		"url with a user":   {swap("https://", "https://me@"), "url"},
		"url with a query":  {swap("patches.example.org\ntls", "patches.example.org?x\ntls"), "url"},
		"other scheme":      {swap("https://", "ftp://"), "must be https"},
		"origin with port":  {swap("origin: patches.example.org", "origin: patches.example.org:8443"), "origin"},
		"origin with space": {swap("origin: patches.example.org", "origin: patches - 17"), "origin"},
		"empty origin":      {swap("origin: patches.example.org", "origin: ''"), "origin"},
		"plain far url":     {strings.NewReplacer(tlsLine, "", "0.0.0.0", "127.0.0.1", "https://", "http://").Replace(good), "must be https"},
		"too long":          {good + strings.Repeat("#", maxSize), "exceeds the limit"},
		"limit of zero":     {good + "limits: {connections: 0}\n", "/limits/connections: 0 is not above zero"},
		"negative limit":    {good + "limits: {bodyRate: -1}\n", "/limits/bodyRate: -1 is not above zero"},
		"half a limit":      {good + "limits: {streams: 1.5}\n", "/limits/streams: 1.5 is not a whole number"},
		"limit as text":     {good + "limits: {streams: many}\n", "/limits/streams: \"many\" is not a whole number"},
		"no limit at all":   {good + "limits: {streams: null}\n", "/limits/streams: null"},
		"time of zero":      {good + "limits: {bodyStall: 0s}\n", "/limits/bodyStall: 0s is not above zero"},
		"time as a number":  {good + "limits: {bodyStall: 30}\n", "/limits/bodyStall"},
		"rate of zero":      {good + "limits: {token: {perSecond: 0}}\n", "/limits/token/perSecond: 0 is not above zero"},
		"rate without end":  {good + "limits: {host: {burst: 9999999}}\n", "limits.host is above"},
		"unknown limit":     {good + "limits: {conections: 5}\n", "/limits/conections: unknown member"},
		"query too long":    {good + "limits: {auditTime: 90s}\n", "limits.auditTime 1m30s is not below"},
		"relative secret":   {good + "notifications: [{name: a, url: 'https://x', secrets: [s]}]\n", `"s" is not an absolute path`},
		"relative ca":       {good + "notifications: [{name: a, url: 'https://x', secrets: [/s], ca: c}]\n", `"c" is not an absolute path`},
		"no secrets":        {good + "notifications: [{name: a, url: 'https://x'}]\n", "/notifications/0/secrets: missing"},
		"odd endpoint key":  {good + "notifications: [{name: a, url: 'https://x', secrets: [/s], method: GET}]\n", "/notifications/0/method: unknown member"},
		"zero timeout":      {good + "notifications: [{name: a, url: 'https://x', secrets: [/s], timeout: 0s}]\n", "/notifications/0/timeout: 0s is not above zero"},
		"negative give up":  {good + "notifications: [{name: a, url: 'https://x', secrets: [/s], giveUpAfter: -1h}]\n", "-1h is not above zero"},
		"no unit":           {good + "notifications: [{name: a, url: 'https://x', secrets: [/s], timeout: '10'}]\n", "is not a duration"},
		"number for time":   {good + "notifications: [{name: a, url: 'https://x', secrets: [/s], timeout: 10}]\n", "/notifications/0/timeout"},
		"too many told":     {good + "notifications: [" + strings.Repeat("{name: a, url: u, secrets: [/s]},", MaxEndpoints+1) + "]\n", "more than 16"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load([]byte(tc.file))
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want it to name %q", err, tc.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := Load(file)
		if err == nil && c.TLS == (TLS{}) && strings.HasPrefix(c.Listen, "0.0.0.0") {
			t.Errorf("plain http for everyone: %q", file)
		}
	})
}
