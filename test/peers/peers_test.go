package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat("7 (a) R 1 (x) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 100\n")
	if err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "7 (a) S 1 2", "7 (a) S 1 2 3 4 5 6 7 8 9 10 x 50 0"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		sha256.Sum256(make([]byte, 1<<16))
	}
	if after, err := cpuTime(os.Getpid()); err != nil || after <= before {
		t.Errorf("work took no time: %v, then %v, %v", before, after, err)
	}
	if now, peak, err := memory(os.Getpid()); err != nil || now < 1 || peak < now {
		t.Errorf("now %v MiB, peak %v MiB, %v", now, peak, err)
	}
}

func TestPress(t *testing.T) {
	p, err := newPress(1<<20, "seed")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 3 {
		_, end, d, err := p.next()
		sum := sha256.Sum256(append(bytes.Clone(p.body), end...))
		if err != nil || d.Digest != "sha256:"+hex.EncodeToString(sum[:]) || d.Size != 1<<20 || seen[d.Digest] {
			t.Errorf("%+v, %v", d, err)
		}
		seen[d.Digest] = true
	}
}

func TestUploadPath(t *testing.T) {
	for _, location := range []string{"/v2/a/blobs/uploads/x?_state=s", "http://127.0.0.1:1/v2/a/blobs/uploads/x?_state=s"} {
		got, err := uploadPath(location, "sha256:0")
		if want := "/v2/a/blobs/uploads/x?_state=s&digest=sha256%3A0"; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := uploadPath("", "sha256:0"); err == nil {
		t.Errorf("an upload without a place: %q", got)
	}
}

func TestELFHeader(t *testing.T) {
	b := make([]byte, 1024)
	fill(b, "seed")
	copy(b, elfHeader())
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil || f.Type != elf.ET_DYN || f.Machine != elf.EM_X86_64 || len(f.Sections) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestReport(t *testing.T) {
	var figures, table bytes.Buffer
	p := newReport(&figures)
	r := row{name: "blob-1m", clients: 8, bytes: 1 << 20}
	p.rows = append(p.rows, r)
	for _, v := range []float64{3, 1, 2} {
		p.add(r, "patchfitd", sample{cpu: v * 10_000, rate: v * 1000})
	}
	p.state("memory", "patchfitd", 40, "idle-MiB")
	p.missing["zot"] = "its program is not given"
	p.print(&table, []string{"patchfitd", "zot"})
	if want := "BenchmarkFront/blob-1m/patchfitd 1 30000 cpu-µs/req 3000 req/s\n"; !strings.HasPrefix(figures.String(), want) {
		t.Errorf("got %q, want it to begin with %q", figures.String(), want)
	}
	for _, want := range []string{"blob-1m (8)", "20 ms 2097 MB/s  -", "memory, patchfitd: 40 idle-MiB", "not measured: zot: its program is not given"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
}

func TestBare(t *testing.T) {
	dir := t.TempDir()
	var pages []page
	for path, size := range map[string]int{"/small": 10, "/large": small + 1} {
		file := filepath.Join(dir, path)
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page{Path: path, Type: "text/x", Digest: path, File: file})
	}
	b, err := json.Marshal(pages)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "pages")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	secure, err := newKeyPair(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []keyPair{{}, secure} {
		askBare(t, list, k)
	}
}

func askBare(t *testing.T, list string, k keyPair) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: k.client, DisableKeepAlives: true}}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- serveBare(ctx, list, "127.0.0.1:0", k, in) }()
	line := make([]byte, 100)
	n, err := out.Read(line)
	address, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening on http://")
	if err != nil || !ok {
		t.Fatalf("%q, %v", line[:n], err)
	}
	for path, want := range map[string]int{"/small": 10, "/large": small + 1, "/none": -1} {
		resp, err := client.Get((&server{address: address, secure: k.client}).url(path))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || (resp.StatusCode == http.StatusOK) != (want >= 0) || want >= 0 && len(b) != want {
			t.Errorf("%s: status %d, %d bytes, %v, want %d bytes", path, resp.StatusCode, len(b), err, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
