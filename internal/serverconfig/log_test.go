package serverconfig

import (
	"strings"
	"testing"
)

// TestLog: where the log is kept is said whole, or not at all.
func TestLog(t *testing.T) {
	const bucket = "s3: {endpoint: 'https://s3.example.org', region: r, bucket: logs}"
	for _, c := range []struct{ log, wrong string }{
		{"{kind: disk}", ""},
		{"{kind: s3+mysql, " + bucket + ", databaseFile: /etc/db}", ""},
		{"{kind: s3+mysql, " + bucket + "}", "log.databaseFile"},
		{"{kind: s3+mysql, databaseFile: /etc/db}", "log.s3"},
		{"{kind: s3+mysql, " + bucket + ", databaseFile: db}", "log.databaseFile"},
		{"{kind: s3+mysql, databaseFile: /etc/db, s3: {endpoint: 'http://s3.example.org', region: r, bucket: b}}", "log.s3.endpoint"},
		{"{kind: s3+mysql, databaseFile: /etc/db, s3: {endpoint: 'https://s3.example.org', region: r, bucket: b, accessKeyFile: k, secretKeyFile: /s}}", "log.s3.accessKeyFile"},
		{"{kind: disk, databaseFile: /etc/db}", "log.kind"},
		{"{kind: disk, " + bucket + "}", "log.kind"},
		{"{kind: mysql}", "log.kind"},
		{"{kind: rekor, rekor: {url: 'https://rekor.example.org', keyFile: /k}}", ""},
		{"{kind: rekor, rekor: {url: 'https://rekor.example.org', tiles: 'http://127.0.0.1:80', keyFile: /k}}", ""},
		{"{kind: rekor, rekor: {url: 'https://rekor.example.org'}}", "keyFile"},
		{"{kind: rekor, rekor: {url: 'https://rekor.example.org', keyFile: k}}", "log.rekor.keyFile"},
		{"{kind: rekor, rekor: {url: 'http://rekor.example.org', keyFile: /k}}", "log.rekor.url"},
		{"{kind: rekor, rekor: {url: 'https://rekor.example.org/api', keyFile: /k}}", "log.rekor.url"},
		{"{kind: rekor, rekor: {url: 'https://a.example', tiles: 'ftp://b.example', keyFile: /k}}", "log.rekor.tiles"},
		{"{kind: rekor}", "log.rekor"},
		{"{kind: disk, rekor: {url: 'https://rekor.example.org', keyFile: /k}}", "log.kind"},
		{"{kind: rekor, databaseFile: /d, rekor: {url: 'https://rekor.example.org', keyFile: /k}}", "log.kind"},
		{"{kind: rekor, rekor: {url: 'https://rekor.example.org', keyFile: /k}}\nwitnesses: /w", "leave witnesses out"},
		{"{kind: s3+mysql, dsn: secret, " + bucket + "}", "dsn"},
	} {
		_, err := Load([]byte(good + "log: " + c.log + "\n"))
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.log, err, c.wrong)
		}
	}
}
