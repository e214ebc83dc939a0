package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// newDistribution configures plain distribution: filesystem, deletes allowed,
// nothing logged but errors.
func newDistribution(program, dir string, k keyPair) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: %q, relativeurls: true%s}
`, filepath.Join(dir, "data"), address, k.says(", tls: {certificate: %q, key: %q}"))
	path := filepath.Join(dir, "config.yaml")
	return &server{
		name: "distribution", address: address, log: filepath.Join(dir, "log"), program: program,
		args: []string{"serve", path}, env: []string{"OTEL_TRACES_EXPORTER=none"}, secure: k.client,
		secured: func(k keyPair) (*server, error) { return newDistribution(program, dir, k) },
	}, write(path, config)
}

// newZot configures zot at its lightest: no extension, nothing deduplicated,
// collected, logged or synced to the disk.
func newZot(program, dir string, k keyPair) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`{"storage": {"rootDirectory": %q, "gc": false, "dedupe": false, "commit": false},
 "http": {"address": %q, "port": %q%s}, "log": {"level": "error"}}
`, filepath.Join(dir, "data"), host, port, k.says(`, "tls": {"cert": %q, "key": %q}`))
	path := filepath.Join(dir, "config.json")
	return &server{
		name: "zot", address: address, log: filepath.Join(dir, "log"), program: program,
		args: []string{"serve", path}, secure: k.client,
		secured: func(k keyPair) (*server, error) { return newZot(program, dir, k) },
	}, write(path, config)
}

// newBare is this program again, answering with pages from memory and disk.
func newBare(program, dir, pages string, k keyPair) (*server, error) {
	address, err := freeAddress()
	return &server{
		name: "bare", address: address, log: filepath.Join(dir, "log"), program: program,
		args: []string{"bare", "-pages", pages, "-listen", address, "-certificate", k.certificate, "-key", k.key}, secure: k.client,
		secured: func(k keyPair) (*server, error) { return newBare(program, dir, pages, k) },
	}, err
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
